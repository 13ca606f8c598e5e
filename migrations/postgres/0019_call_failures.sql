-- Why a call failed, and the engines that failed while it lasted, as a JSON array.
ALTER TABLE calls ADD COLUMN failure_reason TEXT;
ALTER TABLE calls ADD COLUMN engine_failures TEXT;
