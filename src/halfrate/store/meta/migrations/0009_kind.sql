-- What a Job's Requests ask for: a text each, or a vector.
ALTER TABLE job ADD COLUMN kind TEXT NOT NULL DEFAULT 'generation';
