UPDATE cache SET expires_at = :expires_at, updated_at = :now
 WHERE id = :id AND expires_at > :now
