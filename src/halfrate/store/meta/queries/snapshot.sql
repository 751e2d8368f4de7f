-- Of the Shards from first_shard to last_shard, which are one Engine's: one row for each that is not done below
-- the highest with a Segment, with its newest Segment; one row without a Shard if there is none.
SELECT coalesce((
           SELECT max(shard) + 1 FROM segment
            WHERE job_id = :job_id AND shard BETWEEN :first_shard AND :last_shard
       ), :first_shard) AS shards,
       shard.number AS shard,
       coalesce(newest.token, 0) AS token,
       coalesce(newest.settled_bytes, 0) AS settled_bytes,
       coalesce(newest.results, 0) AS results
  FROM job
  LEFT JOIN shard INDEXED BY shard_unfinished
    ON shard.job_id = job.id AND shard.state <> 'DONE'
   AND shard.number >= :first_shard
   AND shard.number < (
       SELECT max(shard) + 1 FROM segment WHERE job_id = :job_id AND shard BETWEEN :first_shard AND :last_shard
   )
  LEFT JOIN segment AS newest
    ON newest.job_id = shard.job_id AND newest.shard = shard.number
   AND newest.token = (
       SELECT max(token) FROM segment WHERE job_id = shard.job_id AND shard = shard.number
   )
 WHERE job.id = :job_id
 ORDER BY shard.number
