UPDATE webhook SET reached_at = max(reached_at, :now)
 WHERE id = (SELECT webhook_id FROM delivery WHERE id = :id)
