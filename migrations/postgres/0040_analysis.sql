-- The analysis of a call after its end, as JSON; null without one.
SET LOCAL vca.reach = 'all';

ALTER TABLE calls ADD COLUMN analysis TEXT;

-- Analyses that are due. A worker moves `due_at` to the end of its lease, and deletes the row with the result.
CREATE TABLE analysis_jobs (
    call_id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL,
    -- The version of the call's profile that has the questions.
    ai_profile_version BIGINT NOT NULL,
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    due_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);
CREATE INDEX analysis_jobs_due ON analysis_jobs (tenant_id, due_at);

-- Results by which calls are found.
CREATE TABLE analysis_labels (
    call_id UUID NOT NULL,
    name TEXT NOT NULL,
    tenant_id UUID NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (call_id, name),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);
CREATE INDEX analysis_labels_value ON analysis_labels (tenant_id, name, value, call_id);

-- The usage of analyses, apart from that of the calls.
CREATE TABLE analysis_usage (
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

DO $$
DECLARE
    owned TEXT;
BEGIN
    FOREACH owned IN ARRAY ARRAY['analysis_jobs', 'analysis_labels', 'analysis_usage'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I USING '
            '(tenant_id = (SELECT NULLIF(current_setting(''vca.tenant'', TRUE), ''''))::uuid)', owned);
        EXECUTE format('CREATE POLICY everywhere ON %I USING ((SELECT vca_sees_all_tenants()))', owned);
    END LOOP;
END
$$;
