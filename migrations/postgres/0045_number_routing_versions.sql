-- The versions of a number's routing: the profiles that answer, and the failover routes. The version with which a number began
-- is written with its first change.
SET LOCAL vca.reach = 'all';

CREATE TABLE number_routing_versions (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    phone_number_id UUID NOT NULL,
    version BIGINT NOT NULL CHECK (version >= 1),
    -- Both as JSON.
    routing TEXT NOT NULL,
    failover TEXT NOT NULL,
    -- Absent for the version with which a number began.
    created_by TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (phone_number_id, version),
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id)
);
CREATE INDEX number_routing_versions_tenant ON number_routing_versions (tenant_id, phone_number_id);
ALTER TABLE phone_numbers ADD COLUMN routing_version BIGINT NOT NULL DEFAULT 1 CHECK (routing_version >= 1);
-- The version of its number's routing that a call has.
ALTER TABLE calls ADD COLUMN routing_version BIGINT;
CREATE INDEX calls_routing_version ON calls (tenant_id, phone_number_id, routing_version);

ALTER TABLE number_routing_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE number_routing_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON number_routing_versions USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON number_routing_versions USING ((SELECT vca_sees_all_tenants()));
