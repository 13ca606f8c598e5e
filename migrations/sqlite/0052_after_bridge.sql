-- Whether VCA leaves or stays for the record once a transfer target has the caller, and the words of the target in a turn.
ALTER TABLE transfer_targets ADD COLUMN after_bridge TEXT NOT NULL DEFAULT 'leave'
    CHECK (after_bridge IN ('leave', 'stay'));
ALTER TABLE call_turns ADD COLUMN target_text TEXT;
