-- Rows per Job, Shard, Segment and File. Bulk bytes, and anything per Request, stay outside.

CREATE TABLE job (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    engine TEXT NOT NULL,
    display_name TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'PENDING', 'RUNNING', 'CANCELLING', 'ASSEMBLING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'EXPIRED'
    )),
    input_file TEXT,
    input_blob TEXT NOT NULL,
    keep_going INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    deadline REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    planned INTEGER NOT NULL DEFAULT 0,
    stopped_by TEXT CHECK (stopped_by IN ('cancelled', 'expired')),
    error TEXT,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    requests INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    cost_picos INTEGER NOT NULL DEFAULT 0,
    interactive_cost_picos INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    CHECK (succeeded + failed <= requests),
    CHECK ((ended_at IS NOT NULL) = (state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'EXPIRED'))),
    CHECK ((error IS NOT NULL) = (state = 'FAILED'))
) STRICT;

CREATE INDEX job_by_age ON job (created_at DESC, id DESC) WHERE NOT deleted;

-- What claims walk through: the Jobs that may have an open Shard, in the order they go.
CREATE INDEX job_runnable ON job (engine, priority DESC, deadline, created_at, id)
    WHERE state IN ('PENDING', 'RUNNING');

CREATE INDEX job_unfinished ON job (state) WHERE ended_at IS NULL;

CREATE INDEX job_deleted ON job (state) WHERE deleted;

CREATE TABLE shard (
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('OPEN', 'LEASED', 'DONE')),
    requests INTEGER NOT NULL,
    token INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    lapses_at REAL,
    PRIMARY KEY (job_id, number),
    CHECK ((worker IS NOT NULL) = (state = 'LEASED')),
    CHECK ((lapses_at IS NOT NULL) = (state = 'LEASED'))
) STRICT, WITHOUT ROWID;

CREATE INDEX shard_open ON shard (job_id, number) WHERE state = 'OPEN';

CREATE INDEX shard_leased ON shard (lapses_at) WHERE state = 'LEASED';

CREATE TABLE segment (
    job_id TEXT NOT NULL,
    shard INTEGER NOT NULL,
    token INTEGER NOT NULL,
    settled_bytes INTEGER NOT NULL,
    results INTEGER NOT NULL,
    PRIMARY KEY (job_id, shard, token),
    FOREIGN KEY (job_id, shard) REFERENCES shard (job_id, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE file (
    id TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    blob TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('UPLOADED', 'GENERATED')),
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL
) STRICT;

CREATE INDEX file_by_age ON file (created_at DESC, id DESC) WHERE source = 'UPLOADED';

CREATE INDEX file_by_expiry ON file (expires_at);

CREATE INDEX file_by_blob ON file (blob);

CREATE TABLE upload (
    id TEXT PRIMARY KEY,
    file_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    declared_bytes INTEGER,
    created_at REAL NOT NULL,
    finished INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX upload_under_way ON upload (file_id) WHERE NOT finished;
