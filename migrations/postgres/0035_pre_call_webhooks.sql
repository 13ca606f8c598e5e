-- The servers that tenants have asked about calls to a number while they ring, and what became of the request.
SET LOCAL vca.reach = 'all';

CREATE TABLE pre_call_webhooks (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    phone_number_id UUID NOT NULL UNIQUE,
    url TEXT NOT NULL CHECK (length(url) > 0),
    timeout_ms BIGINT NOT NULL CHECK (timeout_ms BETWEEN 100 AND 5000),
    -- Sealed.
    secret TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id)
);
CREATE INDEX pre_call_webhooks_tenant ON pre_call_webhooks (tenant_id);

ALTER TABLE pre_call_webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE pre_call_webhooks FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON pre_call_webhooks USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON pre_call_webhooks USING ((SELECT vca_sees_all_tenants()));

-- As JSON: outcome, problem, duration.
ALTER TABLE calls ADD COLUMN pre_call TEXT;
