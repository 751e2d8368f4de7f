-- The bound is in the same statement, so that two creates at once cannot both take the last place.
INSERT INTO job (
    id, model, engine, display_name, priority, state, input_file, input_blob, keep_going,
    created_at, updated_at, deadline, retry_of, requests
)
SELECT
    :id, :model, :engine, :display_name, :priority, :state, :input_file, :input_blob, :keep_going,
    :created_at, :updated_at, :deadline, :retry_of, :requests
 WHERE (SELECT count(*) FROM job WHERE ended_at IS NULL) < :active_jobs_max
