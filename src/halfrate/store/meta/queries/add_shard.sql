INSERT INTO shard (job_id, number, state, first, requests) VALUES (:job_id, :number, 'OPEN', :first, :requests)
