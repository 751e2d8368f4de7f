SELECT * FROM cache WHERE id > :after ORDER BY id LIMIT :limit
