-- How often an attempt at a cut, or a look at a confirmed one, came to this.
CREATE TABLE cut_count (
    router_id BIGINT NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('confirmed', 'unconfirmed', 'returned')),
    count BIGINT NOT NULL,
    PRIMARY KEY (router_id, result)
);

-- How many answers of a router took longer than the bound below and up to `bound_us`.
CREATE TABLE request_bucket (
    router_id BIGINT NOT NULL,
    bound_us BIGINT NOT NULL,
    count BIGINT NOT NULL,
    sum_us BIGINT NOT NULL,
    max_us BIGINT NOT NULL,
    PRIMARY KEY (router_id, bound_us)
);

-- The longest time between two looks of a watcher at the database.
ALTER TABLE watcher ADD COLUMN interval_us BIGINT;
