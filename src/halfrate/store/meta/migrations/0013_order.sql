-- What a Job's lines are sorted by, as a version, because its Shards are ranges of that order; and what its prompts
-- have in common with the one before there. Orders up to now are those of version 0.
ALTER TABLE job ADD COLUMN order_version INTEGER NOT NULL DEFAULT 0;

ALTER TABLE job ADD COLUMN prompt_bytes INTEGER NOT NULL DEFAULT 0;

ALTER TABLE job ADD COLUMN shared_bytes INTEGER NOT NULL DEFAULT 0;

ALTER TABLE job ADD COLUMN prompt_groups INTEGER NOT NULL DEFAULT 0;
