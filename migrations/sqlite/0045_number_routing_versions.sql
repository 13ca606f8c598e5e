-- The versions of a number's routing: the profiles that answer, and the failover routes. The version with which a number began
-- is written with its first change.
CREATE TABLE number_routing_versions (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    phone_number_id BLOB NOT NULL CHECK (length(phone_number_id) = 16),
    version INTEGER NOT NULL CHECK (version >= 1),
    -- Both as JSON.
    routing TEXT NOT NULL,
    failover TEXT NOT NULL,
    -- Absent for the version with which a number began.
    created_by TEXT,
    created_at TEXT NOT NULL,
    PRIMARY KEY (phone_number_id, version),
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id)
) STRICT;
CREATE INDEX number_routing_versions_tenant ON number_routing_versions (tenant_id, phone_number_id);
ALTER TABLE phone_numbers ADD COLUMN routing_version INTEGER NOT NULL DEFAULT 1 CHECK (routing_version >= 1);
-- The version of its number's routing that a call has.
ALTER TABLE calls ADD COLUMN routing_version INTEGER;
CREATE INDEX calls_routing_version ON calls (tenant_id, phone_number_id, routing_version);
