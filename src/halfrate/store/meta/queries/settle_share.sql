-- Counts Results of a Shard that is not the Job's own Engine's. Of one that is, nothing is counted twice.
UPDATE share SET results = results + :results
 WHERE job_id = :job_id AND engine = (SELECT engine FROM shard WHERE job_id = :job_id AND number = :number)
