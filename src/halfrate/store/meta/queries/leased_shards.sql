SELECT job_id, number, token, worker, lapses_at FROM shard
 WHERE state = 'LEASED' AND lapses_at <= :lapsed_by
