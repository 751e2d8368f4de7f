INSERT INTO segment (job_id, shard, token, settled_bytes, results)
VALUES (:job_id, :shard, :token, :settled_bytes, :results)
    ON CONFLICT DO UPDATE SET settled_bytes = excluded.settled_bytes, results = excluded.results
