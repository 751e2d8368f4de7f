SELECT * FROM job
 WHERE NOT deleted AND (created_at, id) < (:created_at, :id)
 ORDER BY created_at DESC, id DESC
 LIMIT :limit
