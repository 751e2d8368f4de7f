UPDATE shard SET state = 'LEASED', token = token + 1, worker = :worker, lapses_at = :lapses_at
 WHERE job_id = :job_id AND number = :number
RETURNING token
