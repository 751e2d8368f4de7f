-- The Jobs that go before one at an Engine, in the order of claims, and what they still have for it. What a Job
-- has not for other Engines is for its own, which it is before its plan is made, too.
SELECT count(*) AS jobs, coalesce(sum(left), 0) AS requests
  FROM (
        SELECT planned,
               iif(engine = :engine,
                   requests - succeeded - failed
                   - (SELECT coalesce(sum(requests - results), 0) FROM share WHERE job_id = job.id),
                   (SELECT requests - results FROM share WHERE job_id = job.id AND engine = :engine)) AS left
          FROM job
         WHERE state IN ('PENDING', 'RUNNING') AND priority >= :priority
           AND (-priority, deadline, created_at, id) < (-:priority, :deadline, :created_at, :id)
       )
 WHERE left > 0 OR (left IS NOT NULL AND NOT planned)
