SELECT * FROM file WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
