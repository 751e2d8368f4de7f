-- What a Snapshot, and whether a Job drains, ask of a Job with thousands of Shards: the ones not done.
CREATE INDEX shard_unfinished ON shard (job_id, number) WHERE state <> 'DONE';

-- What can still expire, the next one first.
CREATE INDEX job_by_deadline ON job (deadline) WHERE state IN ('PENDING', 'RUNNING');

-- The Job whose failed Requests this one tries again. Each has one retry at most, until that is deleted.
ALTER TABLE job ADD COLUMN retry_of TEXT;

CREATE UNIQUE INDEX job_retry ON job (retry_of) WHERE retry_of IS NOT NULL AND NOT deleted;
