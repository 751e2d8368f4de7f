-- The Jobs that go before one, in the order of claims, and what they still have.
SELECT count(*) AS jobs, coalesce(sum(requests - succeeded - failed), 0) AS requests FROM job
 WHERE ended_at IS NULL AND state IN ('PENDING', 'RUNNING') AND engine = :engine
   AND (-priority, deadline, created_at, id) < (-:priority, :deadline, :created_at, :id)
