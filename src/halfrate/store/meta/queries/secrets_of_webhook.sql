SELECT key, created_at, expires_at FROM webhook_secret
 WHERE webhook_id = :id AND (expires_at IS NULL OR expires_at > :now)
 ORDER BY created_at DESC, expires_at IS NOT NULL, expires_at DESC
