-- Called numbers that no tenant has, of the latest 1,000 of them: the operator's.
CREATE TABLE unmatched_numbers (
    called TEXT NOT NULL PRIMARY KEY,
    calls BIGINT NOT NULL CHECK (calls > 0),
    first_at TIMESTAMPTZ NOT NULL,
    last_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX unmatched_numbers_last ON unmatched_numbers (last_at);

-- Rows that are written and deleted again to prove that the database takes writes, and that two programs use the same one.
CREATE TABLE write_probes (
    id UUID NOT NULL PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL
);
