-- A Job sees what was there when it was created, until it has ended.
SELECT * FROM cache
 WHERE expires_at <= :now
   AND NOT EXISTS (SELECT 1 FROM job WHERE ended_at IS NULL AND created_at < cache.expires_at)
 ORDER BY expires_at
 LIMIT :limit
