INSERT INTO file (
    id, display_name, mime_type, size_bytes, sha256, blob, source, created_at, expires_at
) VALUES (
    :id, :display_name, :mime_type, :size_bytes, :sha256, :blob, :source, :created_at, :expires_at
)
