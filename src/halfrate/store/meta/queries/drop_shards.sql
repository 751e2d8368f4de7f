-- Their Segments go with them.
DELETE FROM shard WHERE job_id = :id
