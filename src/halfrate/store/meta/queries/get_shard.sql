SELECT job_id, number, first, requests FROM shard WHERE job_id = :job_id AND number = :number
