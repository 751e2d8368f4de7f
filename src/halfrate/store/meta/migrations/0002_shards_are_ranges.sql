-- A Shard is a range of its Job's order, which the index of the input has. Plans made before had a blob for each
-- Shard instead: a Job that has not started is planned again, one that has starts over.

ALTER TABLE shard ADD COLUMN first INTEGER NOT NULL DEFAULT 0;

DELETE FROM shard WHERE job_id IN (SELECT id FROM job WHERE ended_at IS NULL AND state IN ('PENDING', 'RUNNING'));

UPDATE job
   SET state = 'PENDING', planned = 0, started_at = NULL, succeeded = 0, failed = 0,
       input_tokens = 0, output_tokens = 0, cached_tokens = 0, cost_picos = 0, interactive_cost_picos = 0
 WHERE ended_at IS NULL AND state IN ('PENDING', 'RUNNING');
