-- A month's statement as it was issued: what is billed does not change with tomorrow's prices or plan.
CREATE TABLE statements (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    month TEXT NOT NULL,
    statement TEXT NOT NULL,
    issued_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, month)
);

ALTER TABLE statements ENABLE ROW LEVEL SECURITY;
ALTER TABLE statements FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON statements
    USING (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON statements
    USING ((SELECT current_setting('vca.reach', TRUE)) = 'all');
