SELECT * FROM cache
 WHERE (created_at, id) < (:created_at, :id) AND expires_at > :now
 ORDER BY created_at DESC, id DESC
 LIMIT :limit
