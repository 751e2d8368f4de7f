SELECT * FROM cache WHERE id = :id AND created_at <= :at AND expires_at > :at
