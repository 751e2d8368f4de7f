INSERT INTO share (job_id, engine, first_shard, requests) VALUES (:job_id, :engine, :first_shard, :requests)
