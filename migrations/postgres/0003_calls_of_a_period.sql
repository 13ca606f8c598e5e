-- All that analytics count of a tenant's calls of a period is in one index, so that calls need not be fetched one by
-- one from all over the table.
DROP INDEX calls_started;
CREATE INDEX calls_started ON calls (tenant_id, started_at) INCLUDE (
    id, phone_number_id, ai_profile_id, status, disposition, ended_by, answered_at, duration_ms, started_quarter
);
