-- A Job drains when no Shard is left. Nobody asks before it has its plan, or is to get none. Two questions
-- where one would do: each has an index of its own, and a Job may have ten thousand Shards.
UPDATE job SET state = 'ASSEMBLING', updated_at = :now
 WHERE id = :id
   AND state IN ('PENDING', 'RUNNING', 'CANCELLING')
   AND NOT EXISTS (SELECT 1 FROM shard WHERE job_id = :id AND state = 'OPEN')
   AND NOT EXISTS (SELECT 1 FROM shard WHERE job_id = :id AND state = 'LEASED')
