-- Mailboxes, and targets that a tenant's endpoint resolves.
ALTER TABLE transfer_targets
    DROP CONSTRAINT transfer_targets_kind_check,
    ADD CONSTRAINT transfer_targets_kind_check
        CHECK (kind IN ('extension', 'number', 'sip', 'queue', 'voicemail', 'http')) NOT VALID,
    -- How the endpoint of a target of the kind http is asked, as JSON.
    ADD COLUMN resolver TEXT;
