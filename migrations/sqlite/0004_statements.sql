-- A month's statement as it was issued: what is billed does not change with tomorrow's prices or plan.
CREATE TABLE statements (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    month TEXT NOT NULL,
    statement TEXT NOT NULL,
    issued_at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, month)
) STRICT;
