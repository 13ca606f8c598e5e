-- Requests that carried an Idempotency-Key, with their responses, for a day.
SET LOCAL vca.reach = 'all';

CREATE TABLE idempotency_keys (
    -- A hash of the API key's secret, the owner and the Idempotency-Key, none of which can be read from it.
    id UUID NOT NULL PRIMARY KEY,
    -- The tenant of the request; absent for a request about nothing of a tenant.
    tenant_id UUID REFERENCES tenants (id),
    api_key_id UUID NOT NULL REFERENCES api_keys (id),
    -- A hash of the request, with the secret in it.
    fingerprint BYTEA NOT NULL,
    -- The attempt that carries the request out, and until when another one may not.
    attempt UUID NOT NULL,
    leased_until TIMESTAMPTZ NOT NULL,
    -- The resource that the request has changed, written in the transaction of the change.
    resource TEXT,
    resource_id TEXT,
    -- The response. The body is absent where it is not kept: it held a secret, was too long, or was erased.
    status BIGINT CHECK (status BETWEEN 200 AND 299),
    etag TEXT,
    body TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    CHECK ((resource IS NULL) = (resource_id IS NULL)),
    CHECK (body IS NULL OR status IS NOT NULL)
);
CREATE INDEX idempotency_keys_tenant ON idempotency_keys (tenant_id, id);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON idempotency_keys USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON idempotency_keys USING ((SELECT vca_sees_all_tenants()));
