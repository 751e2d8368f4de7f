-- A Job that was stopped while it was being planned keeps no plan.
UPDATE job SET planned = 1, updated_at = :now
 WHERE id = :id AND state = 'PENDING' AND NOT planned
RETURNING engine
