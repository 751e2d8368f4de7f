SELECT 1 FROM cache WHERE id = :id
