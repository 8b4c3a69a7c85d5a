-- When the router was started, in microseconds by the clock of the database.
ALTER TABLE router ADD COLUMN booted_at BIGINT;
