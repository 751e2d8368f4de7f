-- A Job drains when no Shard is left. Nobody asks before it has its plan, or is to get none.
UPDATE job SET state = 'ASSEMBLING', updated_at = :now
 WHERE id = :id
   AND state IN ('PENDING', 'RUNNING', 'CANCELLING')
   AND NOT EXISTS (
       SELECT 1 FROM shard INDEXED BY shard_unfinished WHERE job_id = :id AND state <> 'DONE'
   )
