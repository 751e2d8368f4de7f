SELECT job_id, number, first, requests, engine, refusal FROM shard WHERE job_id = :job_id AND number = :number
