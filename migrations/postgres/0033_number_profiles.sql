-- The profiles that answer a number's calls in place of the tenant's default: `open` ones by weight, and one outside of
-- business hours.
SET LOCAL vca.reach = 'all';

CREATE TABLE number_profiles (
    tenant_id UUID NOT NULL REFERENCES tenants (id),
    phone_number_id UUID NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('open', 'closed')),
    ai_profile_id UUID NOT NULL,
    weight BIGINT NOT NULL CHECK (weight BETWEEN 1 AND 100),
    PRIMARY KEY (phone_number_id, purpose, ai_profile_id),
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, ai_profile_id) REFERENCES ai_profiles (tenant_id, id)
);
CREATE INDEX number_profiles_tenant ON number_profiles (tenant_id, ai_profile_id);

ALTER TABLE number_profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE number_profiles FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON number_profiles USING
    (tenant_id = (SELECT NULLIF(current_setting('vca.tenant', TRUE), ''))::uuid);
CREATE POLICY everywhere ON number_profiles USING ((SELECT vca_sees_all_tenants()));
