-- When an end of access that was past already came to be known, its router came into scope, or
-- somebody began to watch. NULL where the end came while somebody watched.
ALTER TABLE enforcement ADD COLUMN known_late_at BIGINT;

CREATE INDEX enforcement_known_late ON enforcement (confirmed_at) WHERE known_late_at IS NOT NULL;

-- A check that runs once is no watcher.
ALTER TABLE watcher ADD COLUMN kind TEXT NOT NULL DEFAULT 'watcher' CHECK (kind IN ('watcher', 'check'));

-- Since when watchers follow each other without a gap, and when the last one let go of its routers.
CREATE TABLE watch (
    id BIGINT PRIMARY KEY CHECK (id = 0),
    since BIGINT,
    left_at BIGINT
);

INSERT INTO watch (id) VALUES (0);

-- What a first confirmation counts as.
CREATE TABLE lag_count (
    router_id BIGINT NOT NULL,
    want TEXT NOT NULL CHECK (want IN ('cut', 'restore')),
    kind TEXT NOT NULL CHECK (kind IN ('prompt', 'outage', 'known_late')),
    bound_us BIGINT NOT NULL,
    count BIGINT NOT NULL,
    sum_us BIGINT NOT NULL,
    max_us BIGINT NOT NULL,
    PRIMARY KEY (router_id, want, kind, bound_us)
);

INSERT INTO lag_count (router_id, want, kind, bound_us, count, sum_us, max_us)
SELECT router_id, want, CASE WHEN outage THEN 'outage' ELSE 'prompt' END, bound_us, count, sum_us, max_us
FROM lag_bucket;

DROP TABLE lag_bucket;
