-- The key that has taken a rotated one's place: a key is rotated once.
ALTER TABLE api_keys ADD COLUMN successor_id BLOB;
