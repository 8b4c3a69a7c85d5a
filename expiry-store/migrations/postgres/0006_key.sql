-- The id of the key that a watcher opens router passwords with: nobody without it takes a router away
-- from who has it.
ALTER TABLE watcher ADD COLUMN key_id TEXT;
-- Whether a file of its machine still holds that key: one that is only in memory ends with the watcher.
ALTER TABLE watcher ADD COLUMN key_kept BOOLEAN;
