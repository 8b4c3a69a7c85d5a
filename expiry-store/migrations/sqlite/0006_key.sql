-- The id of the key that a watcher opens router passwords with: nobody without it takes a router away
-- from who has it.
ALTER TABLE watcher ADD COLUMN key_id TEXT;
