-- By when a Job is to be done.

ALTER TABLE job ADD COLUMN promised_at REAL NOT NULL DEFAULT 0;

UPDATE job SET promised_at = min(created_at + 86400, deadline);
