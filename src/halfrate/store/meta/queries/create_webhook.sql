INSERT INTO webhook (id, name, uri, events, state, created_at, updated_at, reached_at)
SELECT :id, :name, :uri, :events, :state, :created_at, :updated_at, :created_at
 WHERE (SELECT count(*) FROM webhook) < :webhooks_max
