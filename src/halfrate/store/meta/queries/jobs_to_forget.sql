SELECT * FROM job WHERE deleted AND ended_at IS NOT NULL LIMIT :limit
