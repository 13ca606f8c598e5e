-- Records of calls that the database refused for their own data, until they are repaired and written again. The call may
-- not be recorded at all, so nothing but its tenant is referred to.
SET LOCAL vca.reach = 'all';

CREATE TABLE ledger_dead_letters (
    id UUID NOT NULL PRIMARY KEY,
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    call_id UUID NOT NULL,
    kind TEXT NOT NULL,
    entry TEXT NOT NULL,
    problem TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX ledger_dead_letters_tenant ON ledger_dead_letters (tenant_id, id);

ALTER TABLE ledger_dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_dead_letters FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON ledger_dead_letters
    USING (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON ledger_dead_letters
    USING ((SELECT current_setting('vca.reach', TRUE)) = 'all');

-- The trunk's id of a call (the SIP Call-ID, or the id of a header of its own) and the SIP status with which it ended.
ALTER TABLE calls
    ADD COLUMN provider_call_id TEXT,
    ADD COLUMN sip_status BIGINT CHECK (sip_status BETWEEN 100 AND 699);
