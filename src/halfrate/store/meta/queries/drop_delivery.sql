DELETE FROM delivery WHERE id = :id
