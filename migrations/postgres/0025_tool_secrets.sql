-- Secrets for the headers of tenants' HTTP tools, sealed.
CREATE TABLE tool_secrets (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (tenant_id, name)
);

ALTER TABLE tool_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE tool_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON tool_secrets USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON tool_secrets USING ((SELECT vca_sees_all_tenants()));
