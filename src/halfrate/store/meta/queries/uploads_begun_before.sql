SELECT * FROM upload WHERE created_at < :created_at
