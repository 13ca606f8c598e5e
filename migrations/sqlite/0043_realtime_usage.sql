-- Usage of speech-to-speech engines: a kind, and tokens of audio and of the vendor's cache. SQLite changes no CHECK of a table
-- that is there.
CREATE TABLE wider_call_usage (
    tenant_id BLOB NOT NULL,
    call_id BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('stt', 'llm', 'tts', 'realtime')),
    engine TEXT NOT NULL,
    model TEXT NOT NULL,
    unit TEXT NOT NULL CHECK (unit IN (
        'requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens',
        'cached_input_tokens', 'audio_input_tokens', 'audio_output_tokens', 'cached_audio_tokens'
    )),
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (call_id, kind, engine, model, unit),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) STRICT;
INSERT INTO wider_call_usage SELECT tenant_id, call_id, kind, engine, model, unit, quantity FROM call_usage;
DROP TABLE call_usage;
ALTER TABLE wider_call_usage RENAME TO call_usage;

CREATE TABLE wider_analysis_usage (
    tenant_id BLOB NOT NULL,
    call_id BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('stt', 'llm', 'tts', 'realtime')),
    engine TEXT NOT NULL,
    model TEXT NOT NULL,
    unit TEXT NOT NULL CHECK (unit IN (
        'requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens',
        'cached_input_tokens', 'audio_input_tokens', 'audio_output_tokens', 'cached_audio_tokens'
    )),
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (call_id, kind, engine, model, unit),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) STRICT;
INSERT INTO wider_analysis_usage SELECT tenant_id, call_id, kind, engine, model, unit, quantity FROM analysis_usage;
DROP TABLE analysis_usage;
ALTER TABLE wider_analysis_usage RENAME TO analysis_usage;

DROP TRIGGER usage_month_engines_insert;
CREATE TRIGGER usage_month_engines_insert BEFORE INSERT ON usage_month_engines
WHEN NOT (
    NEW.month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]' AND NEW.kind IN ('stt', 'llm', 'tts', 'realtime')
    AND NEW.unit IN (
        'requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens',
        'cached_input_tokens', 'audio_input_tokens', 'audio_output_tokens', 'cached_audio_tokens'
    )
)
BEGIN
    SELECT RAISE(ABORT, 'usage_month_engines: an unknown month, kind or unit');
END;
DROP TRIGGER usage_month_engines_update;
CREATE TRIGGER usage_month_engines_update BEFORE UPDATE OF month, kind, unit ON usage_month_engines
WHEN NOT (
    NEW.month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]' AND NEW.kind IN ('stt', 'llm', 'tts', 'realtime')
    AND NEW.unit IN (
        'requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens',
        'cached_input_tokens', 'audio_input_tokens', 'audio_output_tokens', 'cached_audio_tokens'
    )
)
BEGIN
    SELECT RAISE(ABORT, 'usage_month_engines: an unknown month, kind or unit');
END;
