SELECT engine, first_shard, requests, results FROM share WHERE job_id = :job_id ORDER BY first_shard
