INSERT INTO upload (id, file_id, display_name, mime_type, declared_bytes, created_at, blob, sha256, md5)
SELECT :id, :file_id, :display_name, :mime_type, :declared_bytes, :created_at, :blob, :sha256, :md5
 WHERE NOT EXISTS (SELECT 1 FROM file WHERE id = :file_id AND expires_at > :created_at)
