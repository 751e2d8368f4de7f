SELECT * FROM webhook
 WHERE (created_at, id) < (:created_at, :id)
 ORDER BY created_at DESC, id DESC
 LIMIT :limit
