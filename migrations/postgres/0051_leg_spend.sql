-- The cost of a tenant's dialled legs by day (UTC), in millionths of the currency's unit. Legs that have not ended count with the
-- most that they may cost.
CREATE TABLE leg_spend (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    day TEXT NOT NULL,
    spent BIGINT NOT NULL CHECK (spent >= 0),
    PRIMARY KEY (tenant_id, day)
);

ALTER TABLE leg_spend ENABLE ROW LEVEL SECURITY;
ALTER TABLE leg_spend FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON leg_spend USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON leg_spend USING ((SELECT vca_sees_all_tenants()));
