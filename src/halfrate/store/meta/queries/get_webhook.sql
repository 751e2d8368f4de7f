SELECT * FROM webhook WHERE id = :id
