SELECT * FROM job
 WHERE input_held AND ended_at IS NOT NULL AND created_at <= :created_by
 ORDER BY created_at
 LIMIT :limit
