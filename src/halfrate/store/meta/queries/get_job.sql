SELECT * FROM job WHERE id = :id AND NOT deleted
