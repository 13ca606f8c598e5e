-- The author of the words that the agent's voice said in a turn: an operator, or the agent where it is NULL.
ALTER TABLE call_turns ADD COLUMN spoken_by TEXT CHECK (spoken_by IN ('agent', 'operator'));
