-- What is kept of a Job that has ended: its input for as long as a File's, and what was made while it ran for
-- as long as its output. Each flag falls when the bytes are gone, so that nobody looks for them again.

ALTER TABLE job ADD COLUMN output_expires_at REAL;

ALTER TABLE job ADD COLUMN input_held INTEGER NOT NULL DEFAULT 1;

ALTER TABLE job ADD COLUMN work_held INTEGER NOT NULL DEFAULT 1;

UPDATE job SET output_expires_at = (SELECT expires_at FROM file WHERE file.id = 'batch-' || job.id);

CREATE INDEX job_input_held ON job (created_at) WHERE input_held AND ended_at IS NOT NULL;

CREATE INDEX job_by_input ON job (input_blob) WHERE input_held;

CREATE INDEX job_output_held ON job (output_expires_at) WHERE work_held AND output_expires_at IS NOT NULL;

-- A Job that failed has no output, and is found by when it ended.
CREATE INDEX job_without_output ON job (ended_at)
    WHERE work_held AND output_expires_at IS NULL AND ended_at IS NOT NULL;

CREATE INDEX upload_by_age ON upload (created_at);

CREATE INDEX shard_leased_of ON shard (job_id) WHERE state = 'LEASED';
