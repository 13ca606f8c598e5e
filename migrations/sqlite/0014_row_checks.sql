-- Rows that could not be read are refused. Triggers, because SQLite adds no CHECK to a column that is there, and because
-- rows that are there already stay: the program passes over those that it cannot read, and reports them.
CREATE TRIGGER usage_months_insert BEFORE INSERT ON usage_months
WHEN NOT (NEW.month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]' AND NEW.calls >= 0 AND NEW.seconds >= 0 AND NEW.turns >= 0)
BEGIN
    SELECT RAISE(ABORT, 'usage_months: no month, or a sum below 0');
END;
CREATE TRIGGER usage_months_update BEFORE UPDATE ON usage_months
WHEN NOT (NEW.month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]' AND NEW.calls >= 0 AND NEW.seconds >= 0 AND NEW.turns >= 0)
BEGIN
    SELECT RAISE(ABORT, 'usage_months: no month, or a sum below 0');
END;
CREATE TRIGGER usage_month_engines_insert BEFORE INSERT ON usage_month_engines
WHEN NOT (
    NEW.month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]' AND NEW.kind IN ('stt', 'llm', 'tts')
    AND NEW.unit IN ('requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens')
)
BEGIN
    SELECT RAISE(ABORT, 'usage_month_engines: an unknown month, kind or unit');
END;
CREATE TRIGGER usage_month_engines_update BEFORE UPDATE OF month, kind, unit ON usage_month_engines
WHEN NOT (
    NEW.month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]' AND NEW.kind IN ('stt', 'llm', 'tts')
    AND NEW.unit IN ('requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens')
)
BEGIN
    SELECT RAISE(ABORT, 'usage_month_engines: an unknown month, kind or unit');
END;
CREATE TRIGGER statements_insert BEFORE INSERT ON statements
WHEN NOT NEW.month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]'
BEGIN
    SELECT RAISE(ABORT, 'statements: no month');
END;
