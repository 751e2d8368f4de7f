-- Cached contents: bulk bytes are in a blob, as always. One that is deleted expires at that moment, and its row stays
-- until the Jobs have ended that were created while it was there.

CREATE TABLE cache (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    engine TEXT NOT NULL,
    display_name TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    blob TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    expires_at REAL NOT NULL
) STRICT;

CREATE INDEX cache_by_age ON cache (created_at DESC, id DESC);

CREATE INDEX cache_by_expiry ON cache (expires_at);

-- Whether lines of a Job point at Files: those that expire while it runs are kept for it.
ALTER TABLE job ADD COLUMN reads_files INTEGER NOT NULL DEFAULT 0;
