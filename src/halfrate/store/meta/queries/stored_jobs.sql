SELECT id FROM job WHERE id > :after ORDER BY id LIMIT :limit
