INSERT INTO shard (job_id, number, state, first, requests, engine, refusal)
VALUES (:job_id, :number, 'OPEN', :first, :requests, :engine, :refusal)
