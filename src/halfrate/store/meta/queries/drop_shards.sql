-- Their Segments go with them.
DELETE FROM shard WHERE job_id = :id AND EXISTS (SELECT 1 FROM job WHERE id = :id AND ended_at IS NOT NULL)
