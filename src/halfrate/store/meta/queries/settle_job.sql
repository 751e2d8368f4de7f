UPDATE job
   SET succeeded = succeeded + :succeeded,
       failed = failed + :failed,
       input_tokens = input_tokens + :input_tokens,
       output_tokens = output_tokens + :output_tokens,
       cached_tokens = cached_tokens + :cached_tokens,
       cost_picos = cost_picos + :cost_picos,
       interactive_cost_picos = interactive_cost_picos + :interactive_cost_picos,
       updated_at = :now
 WHERE id = :id
