-- A Shard belongs to the Engine that its lines name, which is the Job's own unless they name another. What has no
-- answer, because it names a model that is not served, has the reason.

ALTER TABLE shard ADD COLUMN engine TEXT NOT NULL DEFAULT '';

ALTER TABLE shard ADD COLUMN refusal TEXT;

UPDATE shard SET engine = (SELECT engine FROM job WHERE job.id = shard.job_id);

DROP INDEX shard_open;

CREATE INDEX shard_open ON shard (job_id, engine, number) WHERE state = 'OPEN';

-- A Job goes before another at whatever Engine: claims walk through all that may have an open Shard, which are few.
DROP INDEX job_runnable;

CREATE INDEX job_runnable ON job (priority DESC, deadline, created_at, id) WHERE state IN ('PENDING', 'RUNNING');

-- The Engines of a Job beside its own, and what is theirs of it: the Shards from first_shard on, up to the next
-- one's. Jobs of one Engine have none of this.
ALTER TABLE job ADD COLUMN other_engines TEXT NOT NULL DEFAULT '[]';

CREATE TABLE share (
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    engine TEXT NOT NULL,
    first_shard INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    results INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, engine),
    CHECK (results <= requests)
) STRICT, WITHOUT ROWID;
