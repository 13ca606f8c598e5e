-- Which of the daemons that share the database has a call: when one starts, it closes what it left itself, and nobody
-- else's live calls.
ALTER TABLE calls ADD COLUMN daemon TEXT;
