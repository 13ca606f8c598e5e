-- Records of calls that the database refused for their own data, until they are repaired and written again. The call may
-- not be recorded at all, so nothing but its tenant is referred to.
CREATE TABLE ledger_dead_letters (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    call_id BLOB NOT NULL CHECK (length(call_id) = 16),
    kind TEXT NOT NULL,
    entry TEXT NOT NULL,
    problem TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_dead_letters_tenant ON ledger_dead_letters (tenant_id, id);

-- The trunk's id of a call (the SIP Call-ID, or the id of a header of its own) and the SIP status with which it ended.
ALTER TABLE calls ADD COLUMN provider_call_id TEXT;
ALTER TABLE calls ADD COLUMN sip_status INTEGER CHECK (sip_status BETWEEN 100 AND 699);
