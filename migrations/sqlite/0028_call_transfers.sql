-- The transfers of a call, as a JSON array.
ALTER TABLE calls ADD COLUMN transfers TEXT;
