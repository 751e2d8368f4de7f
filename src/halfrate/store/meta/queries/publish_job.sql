UPDATE job
   SET state = :state, ended_at = :now, updated_at = :now, output_bytes = :output_bytes,
       failed = failed + :missing
 WHERE id = :id AND state = 'ASSEMBLING'
RETURNING deleted
