SELECT min(deadline) AS deadline FROM job WHERE state IN ('PENDING', 'RUNNING')
