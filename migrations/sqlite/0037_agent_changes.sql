-- The changes of profile and language during a call, as a JSON array.
ALTER TABLE calls ADD COLUMN agent_changes TEXT;
