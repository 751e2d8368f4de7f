UPDATE job SET requests = :requests, updated_at = :now
 WHERE id = :id AND ended_at IS NULL
