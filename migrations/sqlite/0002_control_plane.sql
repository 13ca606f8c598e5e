-- What an operator and a tenant's administrators work with: keys, versions of profiles, webhooks, usage,
-- feedback, retention and the audit log. (SQLite has no row-level security: there the scope of every query is all there is.)

-- A number that is given up stays on record for its calls; the DID is free again.
ALTER TABLE phone_numbers ADD COLUMN deleted_at TEXT;
ALTER TABLE phone_numbers ADD COLUMN provider_state TEXT NOT NULL DEFAULT 'registered'
    CHECK (provider_state IN ('pending', 'registered', 'manual', 'failed', 'unregistered'));
ALTER TABLE phone_numbers ADD COLUMN provider_detail TEXT;
ALTER TABLE phone_numbers ADD COLUMN provider_reference TEXT;
-- From here on a provider is one of a set; until here it could be any word, and was told nothing.
UPDATE phone_numbers SET provider_type = 'generic'
WHERE provider_type NOT IN ('generic', 'asterisk', 'tata', 'twilio', 'telnyx', 'fake');
DROP INDEX phone_numbers_did;
CREATE UNIQUE INDEX phone_numbers_did ON phone_numbers (did) WHERE deleted_at IS NULL;

ALTER TABLE ai_profiles ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1);

-- Every state that a profile was in. A version never changes.
CREATE TABLE ai_profile_versions (
    tenant_id BLOB NOT NULL,
    ai_profile_id BLOB NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    system_prompt TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (ai_profile_id, version),
    UNIQUE (tenant_id, ai_profile_id, version),
    FOREIGN KEY (tenant_id, ai_profile_id) REFERENCES ai_profiles (tenant_id, id)
) STRICT;

INSERT INTO ai_profile_versions
SELECT tenant_id, id, 1, name, role, system_prompt, settings, 'migration', created_at FROM ai_profiles;

ALTER TABLE calls ADD COLUMN ai_profile_version INTEGER;
-- What counts of a call that has ended: whole seconds from its answer, and turns in which the caller said something.
ALTER TABLE calls ADD COLUMN billed_seconds INTEGER CHECK (billed_seconds >= 0);
ALTER TABLE calls ADD COLUMN billed_turns INTEGER CHECK (billed_turns >= 0);
CREATE INDEX calls_started ON calls (tenant_id, started_at);
CREATE INDEX calls_number ON calls (tenant_id, phone_number_id, id);
CREATE INDEX calls_profile ON calls (tenant_id, ai_profile_id, id);
CREATE INDEX calls_channel ON calls (asterisk_channel_id);
CREATE INDEX calls_caller ON calls (tenant_id, caller_number, id);
-- The operator's view of a period.
CREATE INDEX calls_period ON calls (started_at);

-- Reckoned by the database, for which each kind has words of its own: how long a call was answered, and in which
-- quarter of an hour since 1970 it began. Every time zone's hours begin with one of those.
ALTER TABLE calls ADD COLUMN duration_ms INTEGER
    GENERATED ALWAYS AS (CAST(round((julianday(ended_at) - julianday(answered_at)) * 86400000) AS INTEGER)) VIRTUAL;
ALTER TABLE calls ADD COLUMN started_quarter INTEGER GENERATED ALWAYS AS (unixepoch(started_at) / 900) VIRTUAL;

-- All that analytics ask of turns is in the index.
CREATE INDEX call_turns_latencies
    ON call_turns (tenant_id, call_id, turn, interrupted, transcript_ms, reply_ms, audio_ms);

-- A call that was told of over HTTP before its channel came: the same UNIQUEID makes one record, not two.
CREATE TABLE announced_calls (
    tenant_id BLOB NOT NULL,
    asterisk_channel_id TEXT NOT NULL,
    call_id BLOB NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, asterisk_channel_id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) STRICT;
CREATE INDEX announced_calls_call ON announced_calls (call_id);
CREATE INDEX announced_calls_at ON announced_calls (at);

-- What a call took of an engine, in the unit that its vendor bills.
CREATE TABLE call_usage (
    tenant_id BLOB NOT NULL,
    call_id BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('stt', 'llm', 'tts')),
    engine TEXT NOT NULL,
    model TEXT NOT NULL,
    unit TEXT NOT NULL CHECK (unit IN ('requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens')),
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (call_id, kind, engine, model, unit),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) STRICT;

-- Sums of a month (UTC, as `2026-11`) over answered calls, kept up with every call that ends: admission reads one row.
CREATE TABLE usage_months (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    month TEXT NOT NULL,
    calls INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    turns INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, month)
) STRICT;

-- The same of what calls took of engines: a month's statement reads a dozen rows, however many calls there were.
CREATE TABLE usage_month_engines (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    month TEXT NOT NULL,
    kind TEXT NOT NULL,
    engine TEXT NOT NULL,
    model TEXT NOT NULL,
    unit TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (tenant_id, month, kind, engine, model, unit)
) STRICT;

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- Absent for an operator's key, which reaches every tenant.
    tenant_id BLOB REFERENCES tenants (id),
    role TEXT NOT NULL CHECK (role IN ('operator', 'tenant_admin', 'tenant_viewer')),
    name TEXT NOT NULL CHECK (length(trim(name)) > 0),
    prefix TEXT NOT NULL,
    hash BLOB NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    last_used_at TEXT,
    revoked_at TEXT,
    CHECK ((tenant_id IS NULL) = (role = 'operator'))
) STRICT;
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id);

CREATE TABLE audit_log (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- Absent where the change was to nothing of a tenant's, such as an operator's key.
    tenant_id BLOB REFERENCES tenants (id),
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    actor_key_id BLOB,
    address TEXT,
    request_id TEXT,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, id);

CREATE TABLE webhooks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    url TEXT NOT NULL,
    -- Words with commas around each, such as `,call.started,call.ended,`.
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- Signs beside the new secret for a while after a rotation.
    former_secret TEXT,
    former_secret_until TEXT,
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    -- No delivery has succeeded since then.
    failing_since TEXT,
    created_at TEXT NOT NULL,
    deleted_at TEXT,
    UNIQUE (tenant_id, id)
) STRICT;

-- The outbox: what happened, written with the change that it tells of.
CREATE TABLE webhook_events (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    type TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (tenant_id, id)
) STRICT;

CREATE TABLE webhook_deliveries (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL,
    webhook_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts INTEGER NOT NULL,
    next_attempt_at TEXT NOT NULL,
    last_attempt_at TEXT,
    response_status INTEGER,
    response_ms INTEGER,
    problem TEXT,
    created_at TEXT NOT NULL,
    UNIQUE (webhook_id, event_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id),
    FOREIGN KEY (tenant_id, event_id) REFERENCES webhook_events (tenant_id, id)
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (tenant_id, webhook_id, id);
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (tenant_id, event_id);
CREATE INDEX webhook_events_age ON webhook_events (created_at);

CREATE TABLE call_feedback (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL,
    call_id BLOB NOT NULL,
    rating INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
    comment TEXT,
    source TEXT NOT NULL,
    created_at TEXT NOT NULL,
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) STRICT;
CREATE INDEX call_feedback_call ON call_feedback (tenant_id, call_id, id);
CREATE INDEX call_feedback_tenant ON call_feedback (tenant_id, id);

-- For how many days things are kept; absent means for ever.
CREATE TABLE retention (
    tenant_id BLOB NOT NULL PRIMARY KEY REFERENCES tenants (id),
    call_days INTEGER CHECK (call_days >= 1),
    transcript_days INTEGER CHECK (transcript_days >= 1),
    recording_days INTEGER CHECK (recording_days >= 1),
    audit_days INTEGER CHECK (audit_days >= 1),
    updated_at TEXT NOT NULL
) STRICT;
