-- Further stages of a turn, in milliseconds from the end of the caller's speech: the pause was noticed, the first clause was
-- complete, its first audio was synthesised.
ALTER TABLE call_turns ADD COLUMN pause_ms BIGINT CHECK (pause_ms >= 0);
ALTER TABLE call_turns ADD COLUMN clause_ms BIGINT CHECK (clause_ms >= 0);
ALTER TABLE call_turns ADD COLUMN speech_ms BIGINT CHECK (speech_ms >= 0);
