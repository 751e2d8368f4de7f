-- What a client may change of a Job. The priority only as long as it can matter.
UPDATE job
   SET display_name = coalesce(:display_name, display_name), priority = coalesce(:priority, priority),
       updated_at = :now
 WHERE id = :id AND NOT deleted AND (:priority IS NULL OR ended_at IS NULL)
