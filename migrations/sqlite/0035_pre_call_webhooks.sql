-- The servers that tenants have asked about calls to a number while they ring, and what became of the request.
CREATE TABLE pre_call_webhooks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    phone_number_id BLOB NOT NULL UNIQUE CHECK (length(phone_number_id) = 16),
    url TEXT NOT NULL CHECK (length(url) > 0),
    timeout_ms INTEGER NOT NULL CHECK (timeout_ms BETWEEN 100 AND 5000),
    -- Sealed.
    secret TEXT NOT NULL,
    created_at TEXT NOT NULL,
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id)
) STRICT;
CREATE INDEX pre_call_webhooks_tenant ON pre_call_webhooks (tenant_id);

-- As JSON: outcome, problem, duration.
ALTER TABLE calls ADD COLUMN pre_call TEXT;
