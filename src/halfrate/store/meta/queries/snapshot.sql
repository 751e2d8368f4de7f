-- One row for each Shard that is not done below the highest with a Segment, with its newest Segment; one
-- row without a Shard if there is none. In one statement, so that no settlement falls between two looks.
SELECT coalesce((SELECT max(shard) + 1 FROM segment WHERE job_id = :job_id), 0) AS shards,
       shard.number AS shard,
       coalesce(newest.token, 0) AS token,
       coalesce(newest.settled_bytes, 0) AS settled_bytes,
       coalesce(newest.results, 0) AS results
  FROM job
  LEFT JOIN shard INDEXED BY shard_unfinished
    ON shard.job_id = job.id AND shard.state <> 'DONE'
   AND shard.number < (SELECT max(shard) + 1 FROM segment WHERE job_id = :job_id)
  LEFT JOIN segment AS newest
    ON newest.job_id = shard.job_id AND newest.shard = shard.number
   AND newest.token = (
       SELECT max(token) FROM segment WHERE job_id = shard.job_id AND shard = shard.number
   )
 WHERE job.id = :job_id
 ORDER BY shard.number
