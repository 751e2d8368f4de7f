-- Requests that came inline have no File that keeps them: they stay as long as what was answered to them.
SELECT EXISTS (SELECT 1 FROM file WHERE blob = :blob)
    OR EXISTS (SELECT 1 FROM job WHERE ended_at IS NULL AND input_blob = :blob)
    OR EXISTS (
        SELECT 1 FROM job JOIN file ON file.id = 'batch-' || job.id
         WHERE input_blob = :blob AND input_file IS NULL
    )
