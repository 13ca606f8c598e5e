-- The numbers that the operator has for tenants, and which of them VCA pointed at this Asterisk.
SET LOCAL vca.reach = 'all';

CREATE TABLE number_inventory (
    id UUID NOT NULL PRIMARY KEY,
    did TEXT NOT NULL CHECK (did ~ '^[0-9]{3,15}$'),
    -- The tenant that may take the number; absent while it is assigned to none.
    tenant_id UUID REFERENCES tenants (id) ON DELETE SET NULL,
    -- Who entered it: the operator, or the listing of a provider's account.
    source TEXT NOT NULL CHECK (source IN ('operator', 'twilio', 'telnyx')),
    note TEXT,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX number_inventory_did ON number_inventory (did);
CREATE INDEX number_inventory_tenant ON number_inventory (tenant_id, id);

ALTER TABLE number_inventory ENABLE ROW LEVEL SECURITY;
ALTER TABLE number_inventory FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON number_inventory USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON number_inventory USING
    ((SELECT current_setting('vca.reach', TRUE)) = 'all');

-- Numbers in use are assigned to the tenants that use them.
INSERT INTO number_inventory (id, did, tenant_id, source, created_at)
SELECT gen_random_uuid(), did, tenant_id, 'operator', created_at FROM phone_numbers WHERE deleted_at IS NULL;

-- Who had VCA point the number at this Asterisk, at its provider; absent where VCA did not do it and so does not undo it.
-- Until here it was not recorded.
ALTER TABLE phone_numbers ADD COLUMN registered_by TEXT;
UPDATE phone_numbers SET registered_by = 'migration'
WHERE provider_type IN ('twilio', 'telnyx') AND provider_state <> 'unregistered';
