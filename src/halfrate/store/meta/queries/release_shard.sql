-- A Shard of a Job that is being stopped is not to be claimed again.
UPDATE shard
   SET state = iif((SELECT state FROM job WHERE id = :job_id) = 'CANCELLING', 'DONE', 'OPEN'),
       worker = NULL, lapses_at = NULL
 WHERE job_id = :job_id AND number = :number AND state = 'LEASED' AND token = :token
