-- One for each receiver: those that came with the Job, or else the registered ones that want to hear of such an
-- event. A Job ends once, so that its id and the receiver's name a delivery.
INSERT INTO delivery (
    id, webhook_id, uri, job_id, kind, error, has_output, user_metadata, created_at, due_at
)
SELECT 'evt_' || job.id || '_' || receiver.name, receiver.webhook_id, receiver.uri, job.id, :kind, job.error,
       job.state = 'SUCCEEDED' AND job.input_file IS NOT NULL, job.user_metadata, job.ended_at, job.ended_at
  FROM job, (
    SELECT uri.key AS name, NULL AS webhook_id, uri.value AS uri
      FROM json_each((SELECT webhook_uris FROM job WHERE id = :id)) AS uri
    UNION ALL
    SELECT webhook.id, webhook.id, NULL
      FROM webhook
     WHERE webhook.state = 'enabled'
       AND EXISTS (SELECT 1 FROM json_each(webhook.events) WHERE value = :kind)
       AND (SELECT webhook_uris FROM job WHERE id = :id) = '[]'
  ) AS receiver
 WHERE job.id = :id AND NOT job.deleted
