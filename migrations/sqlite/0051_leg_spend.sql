-- The cost of a tenant's dialled legs by day (UTC), in millionths of the currency's unit. Legs that have not ended count with the
-- most that they may cost.
CREATE TABLE leg_spend (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    day TEXT NOT NULL,
    spent INTEGER NOT NULL CHECK (spent >= 0),
    PRIMARY KEY (tenant_id, day)
) STRICT;
