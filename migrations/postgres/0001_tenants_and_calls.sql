-- Who may be called, what answers, and what was said.
--
-- Every tenant-owned row carries its tenant, and refers to other rows by (tenant_id, id): a row that
-- points at another tenant's is refused by the database itself.
-- Ids are UUIDs (version 7).

CREATE TABLE tenants (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL CHECK (length(trim(name)) > 0),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'deleted')),
    plan TEXT NOT NULL CHECK (plan IN ('starter', 'growth', 'custom')),
    max_concurrent_calls BIGINT CHECK (max_concurrent_calls >= 0),
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE phone_numbers (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    did TEXT NOT NULL CHECK (did ~ '^[0-9]{3,15}$'),
    provider_type TEXT NOT NULL CHECK (length(provider_type) > 0),
    is_active BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (tenant_id, id)
);

-- A called number leads to one tenant, or to none.
CREATE UNIQUE INDEX phone_numbers_did ON phone_numbers (did);

CREATE TABLE ai_profiles (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL CHECK (length(trim(name)) > 0),
    role TEXT NOT NULL CHECK (role IN ('receptionist', 'sales', 'support', 'dispatcher', 'custom')),
    system_prompt TEXT NOT NULL CHECK (length(trim(system_prompt)) > 0),
    is_default BOOLEAN NOT NULL,
    settings TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (tenant_id, id)
);

CREATE UNIQUE INDEX ai_profiles_default ON ai_profiles (tenant_id) WHERE is_default;

CREATE TABLE calls (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    phone_number_id UUID NOT NULL,
    ai_profile_id UUID,
    asterisk_channel_id TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    caller_number TEXT,
    called_number TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ringing', 'answered', 'completed', 'refused', 'failed')),
    ended_by TEXT CHECK (ended_by IN ('caller', 'agent', 'system')),
    disposition TEXT,
    hangup_cause BIGINT CHECK (hangup_cause BETWEEN 0 AND 65535),
    started_at TIMESTAMPTZ NOT NULL,
    answered_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    codec TEXT,
    media TEXT,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, ai_profile_id) REFERENCES ai_profiles (tenant_id, id)
);

-- What a daemon looks for when it starts: the calls that its predecessor left behind.
CREATE INDEX calls_unfinished ON calls (started_at) WHERE status IN ('ringing', 'answered');

CREATE TABLE call_turns (
    tenant_id UUID NOT NULL,
    call_id UUID NOT NULL,
    turn BIGINT NOT NULL CHECK (turn >= 0),
    caller_text TEXT NOT NULL,
    agent_text TEXT NOT NULL,
    interrupted BOOLEAN NOT NULL,
    transcript_ms BIGINT CHECK (transcript_ms >= 0),
    reply_ms BIGINT CHECK (reply_ms >= 0),
    commit_ms BIGINT CHECK (commit_ms >= 0),
    audio_ms BIGINT CHECK (audio_ms >= 0),
    at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (call_id, turn),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);
