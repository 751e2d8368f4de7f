SELECT * FROM total
