UPDATE job
   SET order_version = :order_version, prompt_bytes = :prompt_bytes, shared_bytes = :shared_bytes,
       prompt_groups = :groups
 WHERE id = :id AND state = 'PENDING'
