INSERT INTO shard (job_id, number, state, requests) VALUES (:job_id, :number, 'OPEN', :requests)
