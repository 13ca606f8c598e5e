-- When the caller first spoke of an emergency; null if they did not.
ALTER TABLE calls ADD COLUMN emergency_at TEXT;
