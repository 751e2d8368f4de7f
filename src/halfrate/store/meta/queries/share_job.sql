UPDATE job SET other_engines = :other_engines WHERE id = :id
