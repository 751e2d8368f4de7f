SELECT * FROM job WHERE ended_at IS NULL AND state IN ('PENDING', 'RUNNING') AND deadline <= :now
