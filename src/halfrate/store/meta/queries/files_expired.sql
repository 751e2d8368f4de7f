SELECT * FROM file WHERE expires_at <= :now
