SELECT * FROM job WHERE retry_of = :id AND NOT deleted
