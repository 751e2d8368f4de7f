DELETE FROM delivery
 WHERE webhook_id = :id AND EXISTS (SELECT 1 FROM webhook WHERE id = :id AND state <> 'enabled')
