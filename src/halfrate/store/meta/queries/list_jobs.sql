-- The condition of a filter, if there is one, takes the place of TRUE.
SELECT * FROM job
 WHERE NOT deleted AND (created_at, id) < (:created_at, :id) AND (TRUE)
 ORDER BY created_at DESC, id DESC
 LIMIT :limit
