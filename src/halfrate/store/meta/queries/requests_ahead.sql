SELECT coalesce(sum(requests - succeeded - failed), 0) FROM job
 WHERE ended_at IS NULL AND state IN ('PENDING', 'RUNNING') AND engine = :engine
   AND (-priority, deadline, created_at, id) < (-:priority, :deadline, :created_at, :id)
