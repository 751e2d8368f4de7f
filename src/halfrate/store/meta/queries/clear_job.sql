UPDATE job SET work_held = 0 WHERE id = :id AND ended_at IS NOT NULL
