-- The calls of tools in a turn, as a JSON array, and the fields that the agent remembered, as a JSON object.
ALTER TABLE call_turns ADD COLUMN tools TEXT;
ALTER TABLE calls ADD COLUMN fields TEXT;
