DELETE FROM file WHERE id = :id AND expires_at <= :now
