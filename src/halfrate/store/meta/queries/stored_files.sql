SELECT * FROM file WHERE id > :after ORDER BY id LIMIT :limit
