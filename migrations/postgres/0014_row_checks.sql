-- A forgotten row scope is an error, and rows that could not be read are refused.
SET LOCAL vca.reach = 'all';

-- A statement that names neither a tenant nor all of them used to see no row, without an error: a dump of the database
-- was empty, and a data step of a migration changed nothing. Now it fails at the first row.
CREATE FUNCTION vca_sees_all_tenants() RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF current_setting('vca.reach', TRUE) = 'all' THEN
        RETURN TRUE;
    END IF;
    IF NULLIF(current_setting('vca.tenant', TRUE), '') IS NULL THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'no row scope is set: row-level security would hide the rows of every tenant',
            HINT = 'set vca.tenant to one tenant, or vca.reach to all; for pg_dump: PGOPTIONS=''-c vca.reach=all''';
    END IF;
    RETURN FALSE;
END
$$;

DO $$
DECLARE
    owned TEXT;
BEGIN
    FOR owned IN SELECT tablename FROM pg_policies
        WHERE schemaname = current_schema() AND policyname = 'everywhere' LOOP
        EXECUTE format('ALTER POLICY everywhere ON %I USING ((SELECT vca_sees_all_tenants()))', owned);
    END LOOP;
END
$$;

-- NOT VALID: rows that are there already stay. The program passes over those that it cannot read, and reports them.
ALTER TABLE usage_months
    ADD CONSTRAINT usage_months_month CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$') NOT VALID,
    ADD CONSTRAINT usage_months_sums CHECK (calls >= 0 AND seconds >= 0 AND turns >= 0) NOT VALID;
ALTER TABLE usage_month_engines
    ADD CONSTRAINT usage_month_engines_month CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$') NOT VALID,
    ADD CONSTRAINT usage_month_engines_kind CHECK (kind IN ('stt', 'llm', 'tts')) NOT VALID,
    ADD CONSTRAINT usage_month_engines_unit
        CHECK (unit IN ('requests', 'audio_ms', 'characters', 'input_tokens', 'output_tokens')) NOT VALID;
ALTER TABLE statements
    ADD CONSTRAINT statements_month CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$') NOT VALID;
