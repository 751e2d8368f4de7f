-- What a client may change of a Job. More than its name only as long as it can matter.
UPDATE job
   SET display_name = coalesce(:display_name, display_name), priority = coalesce(:priority, priority),
       user_metadata = iif(:webhook_uris IS NULL, user_metadata, :user_metadata),
       webhook_uris = coalesce(:webhook_uris, webhook_uris), updated_at = :now
 WHERE id = :id AND NOT deleted AND ((:priority IS NULL AND :webhook_uris IS NULL) OR ended_at IS NULL)
