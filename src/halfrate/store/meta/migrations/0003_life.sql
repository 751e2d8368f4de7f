-- What a Snapshot, and whether a Job drains, ask of a Job with thousands of Shards: the ones not done.
CREATE INDEX shard_unfinished ON shard (job_id, number) WHERE state <> 'DONE';
