-- A pre-call webhook of the tenant, for numbers without their own, and former secrets.
ALTER TABLE pre_call_webhooks
    -- Absent for the tenant's own webhook.
    ALTER COLUMN phone_number_id DROP NOT NULL,
    -- Requests are signed with it as well until then. Sealed.
    ADD COLUMN former_secret TEXT,
    ADD COLUMN former_secret_until TIMESTAMPTZ;
CREATE UNIQUE INDEX pre_call_webhooks_of_tenant ON pre_call_webhooks (tenant_id) WHERE phone_number_id IS NULL;

ALTER TABLE phone_numbers ADD COLUMN uses_tenant_webhook BOOLEAN NOT NULL DEFAULT TRUE;
