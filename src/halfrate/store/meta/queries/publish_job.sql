UPDATE job
   SET state = :state, ended_at = :now, updated_at = :now, output_bytes = :output_bytes,
       output_expires_at = :output_expires_at, failed = failed + :missing
 WHERE id = :id AND state = 'ASSEMBLING'
RETURNING deleted
