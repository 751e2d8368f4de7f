UPDATE delivery SET due_at = :due_at, attempts = attempts + 1 WHERE id = :id
