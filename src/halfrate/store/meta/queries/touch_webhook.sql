UPDATE webhook SET updated_at = :now WHERE id = :id
