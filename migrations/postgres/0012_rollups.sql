-- Sums over calls that have ended, by day (UTC, counted since 1970) or quarter of an hour, so that analytics of a year need
-- not read every call and turn. A call is added once, which is_rolled_up marks; calls from before this step are added by
-- the daemon in small batches. Calls without a profile have an id of zeros, without a disposition or a side that ended
-- them an empty text.
SET LOCAL vca.reach = 'all';

ALTER TABLE calls ADD COLUMN is_rolled_up BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX calls_not_rolled_up ON calls (tenant_id, started_at) WHERE NOT is_rolled_up;

CREATE TABLE rollup_calls (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    quarter BIGINT NOT NULL,
    phone_number_id UUID NOT NULL,
    ai_profile_id UUID NOT NULL,
    calls BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, quarter, phone_number_id, ai_profile_id)
);
CREATE INDEX rollup_calls_quarter ON rollup_calls (quarter);

CREATE TABLE rollup_outcomes (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    day BIGINT NOT NULL,
    phone_number_id UUID NOT NULL,
    ai_profile_id UUID NOT NULL,
    disposition TEXT NOT NULL,
    ended_by TEXT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day, phone_number_id, ai_profile_id, disposition, ended_by)
);

-- How often each value occurred. Measures: 0, 1 and 2 are the milliseconds of a turn's transcript, reply and audio, 3 the
-- seconds of a call, 4 turns and 5 interruptions (with the value 0).
CREATE TABLE rollup_values (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    measure BIGINT NOT NULL CHECK (measure BETWEEN 0 AND 5),
    day BIGINT NOT NULL,
    phone_number_id UUID NOT NULL,
    ai_profile_id UUID NOT NULL,
    value BIGINT NOT NULL,
    times BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, measure, day, phone_number_id, ai_profile_id, value)
);

ALTER TABLE rollup_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_calls FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON rollup_calls
    USING (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON rollup_calls
    USING ((SELECT current_setting('vca.reach', TRUE)) = 'all');

ALTER TABLE rollup_outcomes ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_outcomes FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON rollup_outcomes
    USING (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON rollup_outcomes
    USING ((SELECT current_setting('vca.reach', TRUE)) = 'all');

ALTER TABLE rollup_values ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_values FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON rollup_values
    USING (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON rollup_values
    USING ((SELECT current_setting('vca.reach', TRUE)) = 'all');
