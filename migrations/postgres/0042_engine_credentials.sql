-- Tenants' own accounts at vendors of engines. Their keys are sealed.
CREATE TABLE engine_credentials (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    api TEXT NOT NULL,
    base_url TEXT,
    model TEXT,
    fallback TEXT NOT NULL,
    secret TEXT NOT NULL,
    key_hint TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (tenant_id, name)
);

ALTER TABLE engine_credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE engine_credentials FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON engine_credentials USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON engine_credentials USING ((SELECT vca_sees_all_tenants()));
