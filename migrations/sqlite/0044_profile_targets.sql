-- The tenant's transfer targets as a version of a profile uses them, as JSON; absent: as they are at present.
ALTER TABLE ai_profiles ADD COLUMN targets TEXT;
ALTER TABLE ai_profile_versions ADD COLUMN targets TEXT;
-- A change of a target made the version.
ALTER TABLE ai_profile_versions ADD COLUMN republished INTEGER NOT NULL DEFAULT 0 CHECK (republished IN (0, 1));
