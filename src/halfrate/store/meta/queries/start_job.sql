UPDATE job SET state = 'RUNNING', started_at = :now, updated_at = :now
 WHERE id = :id AND state = 'PENDING'
