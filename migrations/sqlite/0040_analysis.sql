-- The analysis of a call after its end, as JSON; null without one.
ALTER TABLE calls ADD COLUMN analysis TEXT;

-- Analyses that are due. A worker moves `due_at` to the end of its lease, and deletes the row with the result.
CREATE TABLE analysis_jobs (
    call_id BLOB NOT NULL PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    -- The version of the call's profile that has the questions.
    ai_profile_version INTEGER NOT NULL,
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    due_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) STRICT;
CREATE INDEX analysis_jobs_due ON analysis_jobs (tenant_id, due_at);

-- Results by which calls are found.
CREATE TABLE analysis_labels (
    call_id BLOB NOT NULL,
    name TEXT NOT NULL,
    tenant_id BLOB NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (call_id, name),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) STRICT;
CREATE INDEX analysis_labels_value ON analysis_labels (tenant_id, name, value, call_id);

-- The usage of analyses, apart from that of the calls.
CREATE TABLE analysis_usage (
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
