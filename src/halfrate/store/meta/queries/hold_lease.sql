-- The guard of everything a Worker does: only the newest Lease of a Shard may. A Worker that slept past
-- its Lease holds an older token, or finds the Shard no longer leased.
UPDATE shard SET lapses_at = max(lapses_at, :lapses_at)
 WHERE job_id = :job_id AND number = :number AND state = 'LEASED' AND token = :token
