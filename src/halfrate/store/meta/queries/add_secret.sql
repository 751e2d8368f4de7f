INSERT INTO webhook_secret (webhook_id, key, created_at, expires_at) VALUES (:id, :key, :created_at, :expires_at)
