-- Who may be called, what answers, and what was said.
--
-- Every tenant-owned row carries its tenant, and refers to other rows by (tenant_id, id): a row that
-- points at another tenant's is refused by the database itself.
-- Ids are UUIDs (version 7) as 16 bytes; times are RFC 3339 in UTC, which sorts as text.

CREATE TABLE tenants (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL CHECK (length(trim(name)) > 0),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'deleted')),
    plan TEXT NOT NULL CHECK (plan IN ('starter', 'growth', 'custom')),
    max_concurrent_calls INTEGER CHECK (max_concurrent_calls >= 0),
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE phone_numbers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    did TEXT NOT NULL CHECK (length(did) BETWEEN 3 AND 15 AND did NOT GLOB '*[^0-9]*'),
    provider_type TEXT NOT NULL CHECK (length(provider_type) > 0),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    created_at TEXT NOT NULL,
    UNIQUE (tenant_id, id)
) STRICT;

-- A called number leads to one tenant, or to none.
CREATE UNIQUE INDEX phone_numbers_did ON phone_numbers (did);

CREATE TABLE ai_profiles (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL CHECK (length(trim(name)) > 0),
    role TEXT NOT NULL CHECK (role IN ('receptionist', 'sales', 'support', 'dispatcher', 'custom')),
    system_prompt TEXT NOT NULL CHECK (length(trim(system_prompt)) > 0),
    is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    settings TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (tenant_id, id)
) STRICT;

CREATE UNIQUE INDEX ai_profiles_default ON ai_profiles (tenant_id) WHERE is_default;

CREATE TABLE calls (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    phone_number_id BLOB NOT NULL,
    ai_profile_id BLOB,
    asterisk_channel_id TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    caller_number TEXT,
    called_number TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ringing', 'answered', 'completed', 'refused', 'failed')),
    ended_by TEXT CHECK (ended_by IN ('caller', 'agent', 'system')),
    disposition TEXT,
    hangup_cause INTEGER CHECK (hangup_cause BETWEEN 0 AND 65535),
    started_at TEXT NOT NULL,
    answered_at TEXT,
    ended_at TEXT,
    codec TEXT,
    media TEXT,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, ai_profile_id) REFERENCES ai_profiles (tenant_id, id)
) STRICT;

-- What a daemon looks for when it starts: the calls that its predecessor left behind.
CREATE INDEX calls_unfinished ON calls (started_at) WHERE status IN ('ringing', 'answered');

CREATE TABLE call_turns (
    tenant_id BLOB NOT NULL,
    call_id BLOB NOT NULL,
    turn INTEGER NOT NULL CHECK (turn >= 0),
    caller_text TEXT NOT NULL,
    agent_text TEXT NOT NULL,
    interrupted INTEGER NOT NULL CHECK (interrupted IN (0, 1)),
    transcript_ms INTEGER CHECK (transcript_ms >= 0),
    reply_ms INTEGER CHECK (reply_ms >= 0),
    commit_ms INTEGER CHECK (commit_ms >= 0),
    audio_ms INTEGER CHECK (audio_ms >= 0),
    at TEXT NOT NULL,
    PRIMARY KEY (call_id, turn),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) STRICT, WITHOUT ROWID;
