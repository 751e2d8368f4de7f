-- A Job drains when it has a plan, or will never get one, and no Shard is left.
UPDATE job SET state = 'ASSEMBLING', updated_at = :now
 WHERE id = :id
   AND ((state IN ('PENDING', 'RUNNING') AND planned) OR state = 'CANCELLING')
   AND NOT EXISTS (SELECT 1 FROM shard WHERE job_id = :id AND state <> 'DONE')
