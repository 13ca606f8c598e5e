-- When the number's provider was last asked, so that numbers whose providers fail take turns.
ALTER TABLE phone_numbers ADD COLUMN provider_asked_at TIMESTAMPTZ;
