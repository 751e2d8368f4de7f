UPDATE shard SET state = 'DONE', worker = NULL, lapses_at = NULL
 WHERE job_id = :job_id AND number = :number AND state = 'LEASED' AND token = :token
