SELECT * FROM file
 WHERE source = 'UPLOADED' AND expires_at > :now AND (created_at, id) < (:created_at, :id)
 ORDER BY created_at DESC, id DESC
 LIMIT :limit
