-- Where a tenant's agents may transfer callers to.
CREATE TABLE transfer_targets (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 40 AND name NOT GLOB '*[^a-z0-9_-]*'),
    description TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('extension', 'number', 'sip', 'queue')),
    address TEXT NOT NULL CHECK (length(address) > 0),
    method TEXT NOT NULL CHECK (method IN ('dial', 'refer', 'dialplan')),
    -- Business hours as JSON; absent: always.
    hours TEXT,
    created_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX transfer_targets_name ON transfer_targets (tenant_id, name);
