-- So many to each receiver, and in turn, so that a backlog for one does not hide what is due to another; and first
-- what was tried least, so that those that answer are not behind those that do not.
SELECT delivery.id, kind, job_id, error, has_output, user_metadata, webhook_id, attempts, delivery.created_at,
       coalesce(delivery.uri, webhook.uri) AS uri
  FROM (
    SELECT *, row_number() OVER (PARTITION BY coalesce(webhook_id, uri) ORDER BY due_at, id) AS place
      FROM delivery
     WHERE due_at <= :now
  ) AS delivery
  LEFT JOIN webhook ON webhook.id = delivery.webhook_id
 WHERE place <= :each
 ORDER BY attempts, place, due_at, delivery.id
 LIMIT :limit
