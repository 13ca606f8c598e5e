-- What an operator and a tenant's administrators work with: keys, versions of profiles, webhooks, usage,
-- feedback, retention and the audit log. And from here on the database itself keeps tenants apart.

-- A number that is given up stays on record for its calls; the DID is free again.
ALTER TABLE phone_numbers
    ADD COLUMN deleted_at TIMESTAMPTZ,
    ADD COLUMN provider_state TEXT NOT NULL DEFAULT 'registered'
        CHECK (provider_state IN ('pending', 'registered', 'manual', 'failed', 'unregistered')),
    ADD COLUMN provider_detail TEXT,
    ADD COLUMN provider_reference TEXT;
-- From here on a provider is one of a set; until here it could be any word, and was told nothing.
UPDATE phone_numbers SET provider_type = 'generic'
WHERE provider_type NOT IN ('generic', 'asterisk', 'tata', 'twilio', 'telnyx', 'fake');
DROP INDEX phone_numbers_did;
CREATE UNIQUE INDEX phone_numbers_did ON phone_numbers (did) WHERE deleted_at IS NULL;

ALTER TABLE ai_profiles ADD COLUMN version BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1);

-- Every state that a profile was in. A version never changes.
CREATE TABLE ai_profile_versions (
    tenant_id UUID NOT NULL,
    ai_profile_id UUID NOT NULL,
    version BIGINT NOT NULL CHECK (version >= 1),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    system_prompt TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (ai_profile_id, version),
    UNIQUE (tenant_id, ai_profile_id, version),
    FOREIGN KEY (tenant_id, ai_profile_id) REFERENCES ai_profiles (tenant_id, id)
);

INSERT INTO ai_profile_versions
SELECT tenant_id, id, 1, name, role, system_prompt, settings, 'migration', created_at FROM ai_profiles;

ALTER TABLE calls ADD COLUMN ai_profile_version BIGINT;
-- What counts of a call that has ended: whole seconds from its answer, and turns in which the caller said something.
ALTER TABLE calls ADD COLUMN billed_seconds BIGINT CHECK (billed_seconds >= 0);
ALTER TABLE calls ADD COLUMN billed_turns BIGINT CHECK (billed_turns >= 0);
CREATE INDEX calls_started ON calls (tenant_id, started_at);
CREATE INDEX calls_number ON calls (tenant_id, phone_number_id, id);
CREATE INDEX calls_profile ON calls (tenant_id, ai_profile_id, id);
CREATE INDEX calls_channel ON calls (asterisk_channel_id);
CREATE INDEX calls_caller ON calls (tenant_id, caller_number, id);
-- The operator's view of a period.
CREATE INDEX calls_period ON calls (started_at);

-- Reckoned by the database, for which each kind has words of its own: how long a call was answered, and in which
-- quarter of an hour since 1970 it began. Every time zone's hours begin with one of those.
ALTER TABLE calls
    ADD COLUMN duration_ms BIGINT
        GENERATED ALWAYS AS ((EXTRACT(EPOCH FROM (ended_at - answered_at)) * 1000)::bigint) STORED,
    ADD COLUMN started_quarter BIGINT GENERATED ALWAYS AS
        (floor(EXTRACT(EPOCH FROM (started_at - TIMESTAMPTZ '1970-01-01 00:00:00+00')) / 900)::bigint) STORED;

-- All that analytics ask of turns is in the index.
CREATE INDEX call_turns_latencies
    ON call_turns (tenant_id, call_id, turn, interrupted, transcript_ms, reply_ms, audio_ms);

-- A call that was told of over HTTP before its channel came: the same UNIQUEID makes one record, not two.
CREATE TABLE announced_calls (
    tenant_id UUID NOT NULL,
    asterisk_channel_id TEXT NOT NULL,
    call_id UUID NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, asterisk_channel_id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);
CREATE INDEX announced_calls_call ON announced_calls (call_id);
CREATE INDEX announced_calls_at ON announced_calls (at);

-- What a call took of an engine, in the unit that its vendor bills.
CREATE TABLE call_usage (
    tenant_id UUID NOT NULL,
    call_id UUID NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('stt', 'llm', 'tts')),
    engine TEXT NOT NULL,
    model TEXT NOT NULL,
    unit TEXT NOT NULL CHECK (unit IN ('requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens')),
    quantity BIGINT NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (call_id, kind, engine, model, unit),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);

-- Sums of a month (UTC, as `2026-11`) over answered calls, kept up with every call that ends: admission reads one row.
CREATE TABLE usage_months (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    month TEXT NOT NULL,
    calls BIGINT NOT NULL,
    seconds BIGINT NOT NULL,
    turns BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, month)
);

-- The same of what calls took of engines: a month's statement reads a dozen rows, however many calls there were.
CREATE TABLE usage_month_engines (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    month TEXT NOT NULL,
    kind TEXT NOT NULL,
    engine TEXT NOT NULL,
    model TEXT NOT NULL,
    unit TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (tenant_id, month, kind, engine, model, unit)
);

CREATE TABLE api_keys (
    id UUID NOT NULL PRIMARY KEY,
    -- Absent for an operator's key, which reaches every tenant.
    tenant_id UUID REFERENCES tenants (id),
    role TEXT NOT NULL CHECK (role IN ('operator', 'tenant_admin', 'tenant_viewer')),
    name TEXT NOT NULL CHECK (length(trim(name)) > 0),
    prefix TEXT NOT NULL,
    hash BYTEA NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    CHECK ((tenant_id IS NULL) = (role = 'operator'))
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id);

CREATE TABLE audit_log (
    id UUID NOT NULL PRIMARY KEY,
    -- Absent where the change was to nothing of a tenant's, such as an operator's key.
    tenant_id UUID REFERENCES tenants (id),
    at TIMESTAMPTZ NOT NULL,
    actor TEXT NOT NULL,
    actor_key_id UUID,
    address TEXT,
    request_id TEXT,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    before TEXT,
    after TEXT
);
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, id);

CREATE TABLE webhooks (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    url TEXT NOT NULL,
    -- Words with commas around each, such as `,call.started,call.ended,`.
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- Signs beside the new secret for a while after a rotation.
    former_secret TEXT,
    former_secret_until TIMESTAMPTZ,
    is_active BOOLEAN NOT NULL,
    -- No delivery has succeeded since then.
    failing_since TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    UNIQUE (tenant_id, id)
);

-- The outbox: what happened, written with the change that it tells of.
CREATE TABLE webhook_events (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    type TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (tenant_id, id)
);

CREATE TABLE webhook_deliveries (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL,
    webhook_id UUID NOT NULL,
    event_id UUID NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts BIGINT NOT NULL,
    next_attempt_at TIMESTAMPTZ NOT NULL,
    last_attempt_at TIMESTAMPTZ,
    response_status BIGINT,
    response_ms BIGINT,
    problem TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (webhook_id, event_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id),
    FOREIGN KEY (tenant_id, event_id) REFERENCES webhook_events (tenant_id, id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (tenant_id, webhook_id, id);
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (tenant_id, event_id);
CREATE INDEX webhook_events_age ON webhook_events (created_at);

CREATE TABLE call_feedback (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL,
    call_id UUID NOT NULL,
    rating BIGINT NOT NULL CHECK (rating BETWEEN 1 AND 5),
    comment TEXT,
    source TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);
CREATE INDEX call_feedback_call ON call_feedback (tenant_id, call_id, id);
CREATE INDEX call_feedback_tenant ON call_feedback (tenant_id, id);

-- For how many days things are kept; absent means for ever.
CREATE TABLE retention (
    tenant_id UUID NOT NULL PRIMARY KEY REFERENCES tenants (id),
    call_days BIGINT CHECK (call_days >= 1),
    transcript_days BIGINT CHECK (transcript_days >= 1),
    recording_days BIGINT CHECK (recording_days >= 1),
    audit_days BIGINT CHECK (audit_days >= 1),
    updated_at TIMESTAMPTZ NOT NULL
);

-- Row-level security: a statement that does not say whose rows it means sees none. `vca.tenant` names one
-- tenant, `vca.reach` = 'all' is what the daemon says where it has to look across (a called number, a key, the
-- outbox, the operator's lists). FORCE holds the tables' owner to it, too; only a superuser or a role with
-- BYPASSRLS is above it, and `vca doctor` says so.
DO $$
DECLARE
    kept TEXT;
BEGIN
    FOREACH kept IN ARRAY ARRAY[
        'phone_numbers', 'ai_profiles', 'ai_profile_versions', 'calls', 'call_turns', 'announced_calls',
        'call_usage', 'usage_months', 'usage_month_engines', 'api_keys', 'audit_log', 'webhooks', 'webhook_events',
        'webhook_deliveries', 'call_feedback', 'retention'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', kept);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', kept);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I USING '
            '(tenant_id = (SELECT NULLIF(current_setting(''vca.tenant'', TRUE), ''''))::uuid)', kept);
        EXECUTE format(
            'CREATE POLICY everywhere ON %I USING '
            '((SELECT current_setting(''vca.reach'', TRUE)) = ''all'')', kept);
    END LOOP;
END
$$;
