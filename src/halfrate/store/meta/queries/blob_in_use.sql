SELECT EXISTS (SELECT 1 FROM file WHERE blob = :blob)
    OR EXISTS (SELECT 1 FROM job WHERE ended_at IS NULL AND input_blob = :blob)
