UPDATE job SET reads_files = 1 WHERE id = :id
