-- Walks the runnable Jobs in the order they go, and stops at the first that has an open Shard.
SELECT shard.job_id, shard.number, shard.token
  FROM job CROSS JOIN shard
 WHERE job.engine = :engine AND job.planned AND job.state IN ('PENDING', 'RUNNING')
   AND shard.job_id = job.id AND shard.state = 'OPEN'
 ORDER BY job.priority DESC, job.deadline, job.created_at, job.id, shard.number
 LIMIT 1
