-- Tenants' own accounts at vendors of engines. Their keys are sealed.
CREATE TABLE engine_credentials (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    api TEXT NOT NULL,
    base_url TEXT,
    model TEXT,
    fallback TEXT NOT NULL,
    secret TEXT NOT NULL,
    key_hint TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;
