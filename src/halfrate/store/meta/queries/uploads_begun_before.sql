SELECT * FROM upload WHERE created_at < :created_at ORDER BY created_at LIMIT :limit
