-- A Job that failed has no output to go by: it keeps what it made for as long as an output would be kept.
SELECT * FROM (
    SELECT * FROM job WHERE work_held AND output_expires_at <= :now ORDER BY output_expires_at LIMIT :limit
)
UNION ALL
SELECT * FROM (
    SELECT * FROM job
     WHERE work_held AND output_expires_at IS NULL AND ended_at IS NOT NULL AND ended_at <= :failed_by
     ORDER BY ended_at
     LIMIT :limit
)
LIMIT :limit
