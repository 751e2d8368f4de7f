DELETE FROM webhook_secret WHERE webhook_id = :id AND expires_at <= :now
