SELECT * FROM job WHERE ended_at IS NULL AND NOT deleted LIMIT :limit
