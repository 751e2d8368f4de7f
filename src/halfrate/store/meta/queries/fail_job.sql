UPDATE job SET state = 'FAILED', error = :error, ended_at = :now, updated_at = :now
 WHERE id = :id AND ended_at IS NULL
