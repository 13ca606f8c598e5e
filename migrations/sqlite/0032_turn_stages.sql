-- Further stages of a turn, in milliseconds from the end of the caller's speech: the pause was noticed, the first clause was
-- complete, its first audio was synthesised.
ALTER TABLE call_turns ADD COLUMN pause_ms INTEGER CHECK (pause_ms >= 0);
ALTER TABLE call_turns ADD COLUMN clause_ms INTEGER CHECK (clause_ms >= 0);
ALTER TABLE call_turns ADD COLUMN speech_ms INTEGER CHECK (speech_ms >= 0);
