SELECT state, jobs FROM job_count WHERE jobs <> 0
