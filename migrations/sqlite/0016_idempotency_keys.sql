-- Requests that carried an Idempotency-Key, with their responses, for a day.
CREATE TABLE idempotency_keys (
    -- A hash of the API key's secret, the owner and the Idempotency-Key, none of which can be read from it.
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- The tenant of the request; absent for a request about nothing of a tenant.
    tenant_id BLOB REFERENCES tenants (id),
    api_key_id BLOB NOT NULL REFERENCES api_keys (id),
    -- A hash of the request, with the secret in it.
    fingerprint BLOB NOT NULL,
    -- The attempt that carries the request out, and until when another one may not.
    attempt BLOB NOT NULL CHECK (length(attempt) = 16),
    leased_until TEXT NOT NULL,
    -- The resource that the request has changed, written in the transaction of the change.
    resource TEXT,
    resource_id TEXT,
    -- The response. The body is absent where it is not kept: it held a secret, was too long, or was erased.
    status INTEGER CHECK (status BETWEEN 200 AND 299),
    etag TEXT,
    body TEXT,
    created_at TEXT NOT NULL,
    CHECK ((resource IS NULL) = (resource_id IS NULL)),
    CHECK (body IS NULL OR status IS NOT NULL)
) STRICT;
CREATE INDEX idempotency_keys_tenant ON idempotency_keys (tenant_id, id);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
