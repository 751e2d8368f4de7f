-- Also one that has expired since, as long as it is there.
SELECT * FROM file WHERE id = :id AND expires_at > :at
