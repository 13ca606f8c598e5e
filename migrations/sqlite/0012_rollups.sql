-- Sums over calls that have ended, by day (UTC, counted since 1970) or quarter of an hour, so that analytics of a year need
-- not read every call and turn. A call is added once, which is_rolled_up marks; calls from before this step are added by
-- the daemon in small batches. Calls without a profile have an id of zeros, without a disposition or a side that ended
-- them an empty text.
ALTER TABLE calls ADD COLUMN is_rolled_up INTEGER NOT NULL DEFAULT 0 CHECK (is_rolled_up IN (0, 1));
CREATE INDEX calls_not_rolled_up ON calls (tenant_id, started_at) WHERE NOT is_rolled_up;

CREATE TABLE rollup_calls (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    quarter INTEGER NOT NULL,
    phone_number_id BLOB NOT NULL,
    ai_profile_id BLOB NOT NULL,
    calls INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, quarter, phone_number_id, ai_profile_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollup_calls_quarter ON rollup_calls (quarter);

CREATE TABLE rollup_outcomes (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    day INTEGER NOT NULL,
    phone_number_id BLOB NOT NULL,
    ai_profile_id BLOB NOT NULL,
    disposition TEXT NOT NULL,
    ended_by TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, day, phone_number_id, ai_profile_id, disposition, ended_by)
) STRICT, WITHOUT ROWID;

-- How often each value occurred. Measures: 0, 1 and 2 are the milliseconds of a turn's transcript, reply and audio, 3 the
-- seconds of a call, 4 turns and 5 interruptions (with the value 0).
CREATE TABLE rollup_values (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    measure INTEGER NOT NULL CHECK (measure BETWEEN 0 AND 5),
    day INTEGER NOT NULL,
    phone_number_id BLOB NOT NULL,
    ai_profile_id BLOB NOT NULL,
    value INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, measure, day, phone_number_id, ai_profile_id, value)
) STRICT, WITHOUT ROWID;
