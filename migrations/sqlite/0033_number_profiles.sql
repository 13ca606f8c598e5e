-- The profiles that answer a number's calls in place of the tenant's default: `open` ones by weight, and one outside of
-- business hours.
CREATE TABLE number_profiles (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    phone_number_id BLOB NOT NULL CHECK (length(phone_number_id) = 16),
    purpose TEXT NOT NULL CHECK (purpose IN ('open', 'closed')),
    ai_profile_id BLOB NOT NULL CHECK (length(ai_profile_id) = 16),
    weight INTEGER NOT NULL CHECK (weight BETWEEN 1 AND 100),
    PRIMARY KEY (phone_number_id, purpose, ai_profile_id),
    FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, ai_profile_id) REFERENCES ai_profiles (tenant_id, id)
) STRICT;
CREATE INDEX number_profiles_tenant ON number_profiles (tenant_id, ai_profile_id);
