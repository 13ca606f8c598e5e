-- Statements of a month's own plan, and statements that are held back.

-- The plan and the status of each tenant since when, in the order of `seq`. Rows are only added. A month is billed by
-- the plan in force at its end, and its fee is due when the tenant was not deleted at some moment of it. Before the
-- first row of a tenant holds what the first row says.
CREATE TABLE tenant_terms (
    seq INTEGER NOT NULL PRIMARY KEY,
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    at TEXT NOT NULL,
    plan TEXT NOT NULL CHECK (plan IN ('starter', 'growth', 'custom')),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'deleted'))
) STRICT;
CREATE INDEX tenant_terms_tenant ON tenant_terms (tenant_id, seq);

INSERT INTO tenant_terms (tenant_id, at, plan, status)
SELECT id, created_at, plan, status FROM tenants ORDER BY id;

-- Written by the database, so that no way of changing a tenant can leave it out.
CREATE TRIGGER tenants_terms_begin AFTER INSERT ON tenants
BEGIN
    INSERT INTO tenant_terms (tenant_id, at, plan, status)
    VALUES (NEW.id, NEW.created_at, NEW.plan, NEW.status);
END;
CREATE TRIGGER tenants_terms_change AFTER UPDATE OF plan, status ON tenants
WHEN OLD.plan <> NEW.plan OR OLD.status <> NEW.status
BEGIN
    INSERT INTO tenant_terms (tenant_id, at, plan, status)
    VALUES (NEW.id, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'), NEW.plan, NEW.status);
END;

-- Statements that are due and not issued, and why: use without a price, or rows that cannot be read.
CREATE TABLE statement_holds (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    month TEXT NOT NULL CHECK (month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]'),
    reason TEXT NOT NULL CHECK (reason IN ('unpriced', 'unreadable')),
    detail TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (tenant_id, month)
) STRICT;
