-- Nothing has reached it for as long as this delivery was tried.
UPDATE webhook SET state = 'disabled_due_to_failed_deliveries', updated_at = :now
  FROM delivery
 WHERE delivery.id = :id AND webhook.id = delivery.webhook_id
   AND webhook.reached_at <= delivery.created_at
RETURNING webhook.id AS id
