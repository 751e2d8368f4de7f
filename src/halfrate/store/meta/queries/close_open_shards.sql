UPDATE shard SET state = 'DONE' WHERE job_id = :id AND state = 'OPEN'
