-- Walks the runnable Jobs in the order they go, and stops at the first that have an open Shard of this Engine. A
-- Job that is past running has none; its state is asked for so that the index of the runnable ones is used.
SELECT id AS job_id,
       (SELECT min(number) FROM shard WHERE job_id = job.id AND engine = :engine AND state = 'OPEN') AS number
  FROM job
 WHERE state IN ('PENDING', 'RUNNING') AND number IS NOT NULL
   AND (:job_id IS NULL OR id = :job_id)
 ORDER BY priority DESC, deadline, created_at, id
 LIMIT :limit
