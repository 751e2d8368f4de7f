UPDATE webhook_secret SET expires_at = min(coalesce(expires_at, :by), :by) WHERE webhook_id = :id
