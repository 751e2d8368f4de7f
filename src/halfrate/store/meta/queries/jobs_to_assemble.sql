SELECT * FROM job WHERE ended_at IS NULL AND state = 'ASSEMBLING' ORDER BY updated_at, id
