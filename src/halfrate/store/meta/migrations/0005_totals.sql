-- Sums over all Jobs, kept while they change: to add up 100,000 rows whenever somebody looks takes too long.
-- The totals only grow: they count what was answered, also for Jobs that were deleted since.

CREATE TABLE job_count (
    state TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO job_count SELECT state, count(*) FROM job GROUP BY state;

CREATE TRIGGER job_added AFTER INSERT ON job BEGIN
    INSERT INTO job_count VALUES (NEW.state, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER job_moved AFTER UPDATE OF state ON job BEGIN
    UPDATE job_count SET jobs = jobs - 1 WHERE state = OLD.state;
    INSERT INTO job_count VALUES (NEW.state, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER job_removed AFTER DELETE ON job BEGIN
    UPDATE job_count SET jobs = jobs - 1 WHERE state = OLD.state;
END;

CREATE TABLE total (
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cost_picos INTEGER NOT NULL,
    interactive_cost_picos INTEGER NOT NULL
) STRICT;

INSERT INTO total
SELECT coalesce(sum(succeeded), 0), coalesce(sum(failed), 0), coalesce(sum(input_tokens), 0),
       coalesce(sum(output_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(cost_picos), 0),
       coalesce(sum(interactive_cost_picos), 0)
  FROM job;

CREATE TRIGGER job_booked AFTER UPDATE OF succeeded, failed ON job BEGIN
    UPDATE total
       SET succeeded = succeeded + NEW.succeeded - OLD.succeeded,
           failed = failed + NEW.failed - OLD.failed,
           input_tokens = input_tokens + NEW.input_tokens - OLD.input_tokens,
           output_tokens = output_tokens + NEW.output_tokens - OLD.output_tokens,
           cached_tokens = cached_tokens + NEW.cached_tokens - OLD.cached_tokens,
           cost_picos = cost_picos + NEW.cost_picos - OLD.cost_picos,
           interactive_cost_picos = interactive_cost_picos + NEW.interactive_cost_picos
                                    - OLD.interactive_cost_picos;
END;
