UPDATE job SET state = 'CANCELLING', stopped_by = :cause, updated_at = :now
 WHERE id = :id AND state IN ('PENDING', 'RUNNING')
