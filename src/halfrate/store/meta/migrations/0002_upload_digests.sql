-- What a client says its bytes hash to, so that bytes damaged on their way never become a File.

ALTER TABLE upload ADD COLUMN sha256 TEXT;

ALTER TABLE upload ADD COLUMN md5 TEXT;
