-- Where a tenant's agents may transfer callers to.
SET LOCAL vca.reach = 'all';

CREATE TABLE transfer_targets (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL CHECK (name ~ '^[a-z0-9_-]{1,40}$'),
    description TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('extension', 'number', 'sip', 'queue')),
    address TEXT NOT NULL CHECK (length(address) > 0),
    method TEXT NOT NULL CHECK (method IN ('dial', 'refer', 'dialplan')),
    -- Business hours as JSON; absent: always.
    hours TEXT,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX transfer_targets_name ON transfer_targets (tenant_id, name);

ALTER TABLE transfer_targets ENABLE ROW LEVEL SECURITY;
ALTER TABLE transfer_targets FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON transfer_targets USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON transfer_targets USING ((SELECT vca_sees_all_tenants()));
