-- A new address, or a new start, is owed as much patience as a new Webhook.
UPDATE webhook
   SET reached_at = iif(coalesce(:uri, uri) <> uri OR (:state = 'enabled' AND state <> 'enabled'), :now, reached_at),
       name = coalesce(:name, name),
       uri = coalesce(:uri, uri),
       events = coalesce(:events, events),
       state = coalesce(:state, state),
       updated_at = :now
 WHERE id = :id
