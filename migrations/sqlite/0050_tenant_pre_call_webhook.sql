-- A pre-call webhook of the tenant, for numbers without their own, and former secrets. SQLite cannot change a column, so the
-- table is made anew.
CREATE TABLE new_pre_call_webhooks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    -- Absent for the tenant's own webhook.
    phone_number_id BLOB UNIQUE CHECK (length(phone_number_id) = 16),
    url TEXT NOT NULL CHECK (length(url) > 0),
    timeout_ms INTEGER NOT NULL CHECK (timeout_ms BETWEEN 100 AND 5000),
    -- Sealed.
    secret TEXT NOT NULL,
    created_at TEXT NOT NULL,
    -- Requests are signed with it as well until then. Sealed.
    former_secret TEXT,
    former_secret_until TEXT,
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id)
) STRICT;
INSERT INTO new_pre_call_webhooks (id, tenant_id, phone_number_id, url, timeout_ms, secret, created_at)
    SELECT id, tenant_id, phone_number_id, url, timeout_ms, secret, created_at FROM pre_call_webhooks;
DROP TABLE pre_call_webhooks;
ALTER TABLE new_pre_call_webhooks RENAME TO pre_call_webhooks;
CREATE INDEX pre_call_webhooks_tenant ON pre_call_webhooks (tenant_id);
CREATE UNIQUE INDEX pre_call_webhooks_of_tenant ON pre_call_webhooks (tenant_id) WHERE phone_number_id IS NULL;

ALTER TABLE phone_numbers ADD COLUMN uses_tenant_webhook INTEGER NOT NULL DEFAULT 1
    CHECK (uses_tenant_webhook IN (0, 1));
