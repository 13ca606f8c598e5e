-- When a tenant was deleted, and when its rows were erased.
ALTER TABLE tenants ADD COLUMN deleted_at TEXT;
ALTER TABLE tenants ADD COLUMN purged_at TEXT;
-- When a call's personal data was erased; its row stays for billing.
ALTER TABLE calls ADD COLUMN erased_at TEXT;

-- Old versions of a profile are deleted unless a call refers to them.
CREATE INDEX calls_version ON calls (tenant_id, ai_profile_id, ai_profile_version);
-- Retention deletes a tenant's oldest turns and events.
CREATE INDEX call_turns_age ON call_turns (tenant_id, at);
CREATE INDEX webhook_events_tenant_age ON webhook_events (tenant_id, created_at);
