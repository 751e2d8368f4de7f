-- The bound is in the same statement, so that two creates at once cannot both take the last place; and so is
-- the File, so that its bytes cannot be removed between the moment it was looked up and this one.
INSERT INTO job (
    id, model, engine, display_name, priority, state, input_file, input_blob, keep_going,
    created_at, updated_at, deadline, promised_at, retry_of, requests, kind,
    webhook_uris, user_metadata
)
SELECT
    :id, :model, :engine, :display_name, :priority, :state, :input_file, :input_blob, :keep_going,
    :created_at, :updated_at, :deadline, :promised_at, :retry_of, :requests, :kind,
    :webhook_uris, :user_metadata
 WHERE (SELECT count(*) FROM job WHERE ended_at IS NULL) < :active_jobs_max
   AND (:input_file IS NULL OR EXISTS (
        SELECT 1 FROM file WHERE id = :input_file AND blob = :input_blob AND expires_at > :now
       ))
