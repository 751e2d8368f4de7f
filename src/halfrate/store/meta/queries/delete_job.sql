UPDATE job SET deleted = 1 WHERE id = :id
