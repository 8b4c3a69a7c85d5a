-- How often an attempt at a cut, or a look at a confirmed one, came to this.
CREATE TABLE cut_count (
    router_id INTEGER NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('confirmed', 'unconfirmed', 'returned')),
    count INTEGER NOT NULL,
    PRIMARY KEY (router_id, result)
) STRICT, WITHOUT ROWID;

-- How many answers of a router took longer than the bound below and up to `bound_us`.
CREATE TABLE request_bucket (
    router_id INTEGER NOT NULL,
    bound_us INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum_us INTEGER NOT NULL,
    max_us INTEGER NOT NULL,
    PRIMARY KEY (router_id, bound_us)
) STRICT, WITHOUT ROWID;

-- The longest time between two looks of a watcher at the database.
ALTER TABLE watcher ADD COLUMN interval_us INTEGER;
