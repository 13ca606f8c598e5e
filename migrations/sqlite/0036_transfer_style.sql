-- How a dialled target receives the caller: at once, or after it has accepted the call by key.
ALTER TABLE transfer_targets ADD COLUMN style TEXT NOT NULL DEFAULT 'cold'
    CHECK (style IN ('cold', 'confirmed', 'warm'));
