-- Whom to tell how Jobs end, and what is still to be told. A delivery is made in the transaction that makes its Job
-- final, and has all it needs in it: it outlives the Job, should that be deleted.

CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    uri TEXT NOT NULL,
    events TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'disabled_due_to_failed_deliveries')),
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    -- When a delivery was last taken; before the first, since when it could have been.
    reached_at REAL NOT NULL
) STRICT;

CREATE INDEX webhook_by_age ON webhook (created_at DESC, id DESC);

CREATE TABLE webhook_secret (
    webhook_id TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    PRIMARY KEY (webhook_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    webhook_id TEXT REFERENCES webhook (id) ON DELETE CASCADE,
    uri TEXT,
    job_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    error TEXT,
    has_output INTEGER NOT NULL,
    user_metadata TEXT,
    created_at REAL NOT NULL,
    due_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    -- To one that is registered, wherever that is by then; or to a URI that came with the Job.
    CHECK ((webhook_id IS NULL) <> (uri IS NULL))
) STRICT;

CREATE INDEX delivery_by_due ON delivery (due_at);

CREATE INDEX delivery_by_webhook ON delivery (webhook_id);

ALTER TABLE job ADD COLUMN webhook_uris TEXT NOT NULL DEFAULT '[]';

ALTER TABLE job ADD COLUMN user_metadata TEXT;
