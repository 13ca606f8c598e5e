-- Mailboxes, and targets that a tenant's endpoint resolves. SQLite cannot change a check, so the table is made anew.
CREATE TABLE new_transfer_targets (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 40 AND name NOT GLOB '*[^a-z0-9_-]*'),
    description TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('extension', 'number', 'sip', 'queue', 'voicemail', 'http')),
    address TEXT NOT NULL CHECK (length(address) > 0),
    method TEXT NOT NULL CHECK (method IN ('dial', 'refer', 'dialplan')),
    -- Business hours as JSON; absent: always.
    hours TEXT,
    created_at TEXT NOT NULL,
    style TEXT NOT NULL DEFAULT 'cold' CHECK (style IN ('cold', 'confirmed', 'warm')),
    -- How the endpoint of a target of the kind http is asked, as JSON.
    resolver TEXT
) STRICT;
INSERT INTO new_transfer_targets (id, tenant_id, name, description, kind, address, method, hours, created_at, style)
    SELECT id, tenant_id, name, description, kind, address, method, hours, created_at, style FROM transfer_targets;
DROP TABLE transfer_targets;
ALTER TABLE new_transfer_targets RENAME TO transfer_targets;
CREATE UNIQUE INDEX transfer_targets_name ON transfer_targets (tenant_id, name);
