DELETE FROM job WHERE id = :id AND deleted AND ended_at IS NOT NULL
