-- Requests that came inline have no File that would keep them.
SELECT EXISTS (SELECT 1 FROM file WHERE blob = :blob)
    OR EXISTS (SELECT 1 FROM upload WHERE blob = :blob AND NOT finished)
    OR EXISTS (SELECT 1 FROM job WHERE input_held AND input_blob = :blob
                                   AND (ended_at IS NULL OR input_file IS NULL))
