-- When the notice that the agent is automated had been played to its end; null without one.
ALTER TABLE calls ADD COLUMN notice_heard_at TIMESTAMPTZ;
