SELECT * FROM job WHERE state IN ('PENDING', 'RUNNING') AND deadline <= :now
