SELECT count(*) AS waiting FROM delivery
