DELETE FROM cache WHERE id = :id AND expires_at <= :now
