UPDATE upload SET finished = 1 WHERE id = :id
