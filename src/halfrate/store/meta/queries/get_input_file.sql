SELECT id FROM file WHERE id = :input_file AND blob = :input_blob AND expires_at > :now
