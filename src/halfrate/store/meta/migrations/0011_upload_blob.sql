-- What the bytes of an upload are called once all of them are there. They get that name before the File has its row:
-- a process that dies in between leaves them to be taken up again.

ALTER TABLE upload ADD COLUMN blob TEXT NOT NULL DEFAULT '';

UPDATE upload SET blob = 'inputs/' || lower(hex(randomblob(12)));

CREATE INDEX upload_by_blob ON upload (blob) WHERE NOT finished;
