-- Each row is a sentence about two things that should agree and do not.
SELECT format('Job %s counts %d Results, its Segments hold %d.', job.id, succeeded + failed, held)
  FROM (SELECT job.*, (SELECT coalesce(sum(results), 0) FROM segment WHERE job_id = job.id) AS held FROM job) AS job
 -- One that was stopped and is published counts the Requests it never answered as failed.
 WHERE succeeded + failed <> held AND state NOT IN ('CANCELLED', 'EXPIRED') AND work_held
UNION ALL
SELECT format('Job %s has %d Requests, its Shards hold %d.', job.id, job.requests, held)
  FROM job JOIN (SELECT job_id, sum(requests) AS held FROM shard GROUP BY job_id) ON job_id = job.id
 WHERE job.requests <> held
UNION ALL
SELECT format('Job %s is %s and has Shard %d still %s.', job.id, job.state, number, shard.state)
  FROM job JOIN shard ON job_id = job.id
 WHERE shard.state <> 'DONE' AND job.state NOT IN ('PENDING', 'RUNNING', 'CANCELLING')
UNION ALL
SELECT format('Shard %d of Job %s holds %d Results for %d Requests.', shard.number, shard.job_id, held, requests)
  FROM shard JOIN (SELECT job_id, shard, sum(results) AS held FROM segment GROUP BY job_id, shard) AS s
    ON s.job_id = shard.job_id AND s.shard = shard.number
 WHERE held > requests
UNION ALL
SELECT format('Job %s counts %d Results of %s, its Segments hold %d.', job_id, results, engine, held)
  FROM (SELECT share.*, (SELECT coalesce(sum(segment.results), 0)
                           FROM shard JOIN segment ON segment.job_id = shard.job_id AND shard = number
                          WHERE shard.job_id = share.job_id AND shard.engine = share.engine) AS held
          FROM share JOIN job ON job.id = job_id AND work_held)
 WHERE results <> held
UNION ALL
SELECT format('Shard %d of Job %s was claimed %d times, and has a Segment of claim %d.', number, shard.job_id,
              shard.token, segment.token)
  FROM segment JOIN shard ON shard.job_id = segment.job_id AND shard.number = segment.shard
 WHERE segment.token > shard.token
UNION ALL
SELECT format('Job %s is complete with %d Results for %d Requests.', id, succeeded + failed, requests)
  FROM job
 WHERE state IN ('SUCCEEDED', 'CANCELLED', 'EXPIRED') AND succeeded + failed <> requests
UNION ALL
SELECT format('%d Jobs are %s, and %d are counted.', counted.found, job_count.state, job_count.jobs)
  FROM job_count JOIN (SELECT state, count(*) AS found FROM job GROUP BY state) AS counted
    ON counted.state = job_count.state
 WHERE counted.found <> job_count.jobs
UNION ALL
SELECT format('Delivery %s tells of %s, and Job %s is %s.', delivery.id, delivery.kind, job.id, job.state)
  FROM delivery JOIN job ON job.id = delivery.job_id
 WHERE delivery.kind <> 'batch.' || lower(job.state)
