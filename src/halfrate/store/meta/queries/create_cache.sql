INSERT INTO cache (id, model, engine, display_name, tokens, blob, created_at, updated_at, expires_at)
SELECT :id, :model, :engine, :display_name, :tokens, :blob, :created_at, :updated_at, :expires_at
 WHERE (SELECT count(*) FROM cache WHERE expires_at > :created_at) < :caches_max
