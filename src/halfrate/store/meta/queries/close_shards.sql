UPDATE shard SET state = 'DONE', worker = NULL, lapses_at = NULL
 WHERE job_id = :id
