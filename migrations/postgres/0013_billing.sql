-- Statements of a month's own plan, and statements that are held back.
SET LOCAL vca.reach = 'all';

-- The plan and the status of each tenant since when, in the order of `seq`. Rows are only added. A month is billed by
-- the plan in force at its end, and its fee is due when the tenant was not deleted at some moment of it. Before the
-- first row of a tenant holds what the first row says.
CREATE TABLE tenant_terms (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMPTZ NOT NULL,
    plan TEXT NOT NULL CHECK (plan IN ('starter', 'growth', 'custom')),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'deleted')),
    PRIMARY KEY (tenant_id, seq)
);

INSERT INTO tenant_terms (tenant_id, at, plan, status)
SELECT id, created_at, plan, status FROM tenants ORDER BY id;

-- Written by the database, so that no way of changing a tenant can leave it out.
CREATE FUNCTION add_tenant_terms() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO tenant_terms (tenant_id, at, plan, status)
    VALUES (
        NEW.id, CASE TG_OP WHEN 'INSERT' THEN NEW.created_at ELSE clock_timestamp() END, NEW.plan, NEW.status
    );
    RETURN NULL;
END
$$;
CREATE TRIGGER tenants_terms_begin AFTER INSERT ON tenants
    FOR EACH ROW EXECUTE FUNCTION add_tenant_terms();
CREATE TRIGGER tenants_terms_change AFTER UPDATE OF plan, status ON tenants
    FOR EACH ROW WHEN (OLD.plan <> NEW.plan OR OLD.status <> NEW.status) EXECUTE FUNCTION add_tenant_terms();

-- Statements that are due and not issued, and why: use without a price, or rows that cannot be read.
CREATE TABLE statement_holds (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    month TEXT NOT NULL CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    reason TEXT NOT NULL CHECK (reason IN ('unpriced', 'unreadable')),
    detail TEXT NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, month)
);

DO $$
DECLARE
    owned TEXT;
BEGIN
    FOREACH owned IN ARRAY ARRAY['tenant_terms', 'statement_holds'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I USING '
            '(tenant_id = (SELECT NULLIF(current_setting(''vca.tenant'', TRUE), ''''))::uuid)', owned);
        EXECUTE format(
            'CREATE POLICY everywhere ON %I USING '
            '((SELECT current_setting(''vca.reach'', TRUE)) = ''all'')', owned);
    END LOOP;
END
$$;
