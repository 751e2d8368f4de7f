SELECT * FROM job
 WHERE ended_at IS NULL AND state = 'PENDING' AND NOT planned
 ORDER BY priority DESC, deadline, created_at, id
