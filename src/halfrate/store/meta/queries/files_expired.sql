-- A Job whose lines point at Files sees those that were there when it was created, until it has ended.
SELECT * FROM file
 WHERE expires_at <= :now
   AND NOT EXISTS (
        SELECT 1 FROM job WHERE ended_at IS NULL AND reads_files AND created_at < file.expires_at
       )
 ORDER BY expires_at LIMIT :limit
