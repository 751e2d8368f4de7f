SELECT job_id, shard, token, settled_bytes, results FROM segment
 WHERE job_id = :job_id AND shard >= :from_shard
 ORDER BY shard, token
