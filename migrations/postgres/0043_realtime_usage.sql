-- Usage of speech-to-speech engines: a kind, and tokens of audio and of the vendor's cache.
-- NOT VALID: the rows that are there met narrower constraints, and need no scan.
ALTER TABLE call_usage
    DROP CONSTRAINT call_usage_kind_check,
    ADD CONSTRAINT call_usage_kind_check CHECK (kind IN ('stt', 'llm', 'tts', 'realtime')) NOT VALID,
    DROP CONSTRAINT call_usage_unit_check,
    ADD CONSTRAINT call_usage_unit_check CHECK (unit IN (
        'requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens',
        'cached_input_tokens', 'audio_input_tokens', 'audio_output_tokens', 'cached_audio_tokens'
    )) NOT VALID;
ALTER TABLE analysis_usage
    DROP CONSTRAINT analysis_usage_kind_check,
    ADD CONSTRAINT analysis_usage_kind_check CHECK (kind IN ('stt', 'llm', 'tts', 'realtime')) NOT VALID,
    DROP CONSTRAINT analysis_usage_unit_check,
    ADD CONSTRAINT analysis_usage_unit_check CHECK (unit IN (
        'requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens',
        'cached_input_tokens', 'audio_input_tokens', 'audio_output_tokens', 'cached_audio_tokens'
    )) NOT VALID;
ALTER TABLE usage_month_engines
    DROP CONSTRAINT usage_month_engines_kind,
    ADD CONSTRAINT usage_month_engines_kind CHECK (kind IN ('stt', 'llm', 'tts', 'realtime')) NOT VALID,
    DROP CONSTRAINT usage_month_engines_unit,
    ADD CONSTRAINT usage_month_engines_unit CHECK (unit IN (
        'requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens',
        'cached_input_tokens', 'audio_input_tokens', 'audio_output_tokens', 'cached_audio_tokens'
    )) NOT VALID;
