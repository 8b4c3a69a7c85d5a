-- Times are microseconds since 1970 in UTC. Tenant 0 stands for "no tenant".

CREATE TABLE expiry_schema (version INTEGER NOT NULL) STRICT;

CREATE TABLE tenant (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL
) STRICT;

INSERT INTO tenant (id, slug, name) VALUES (0, '', '');

CREATE TABLE router (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant (id),
    name TEXT NOT NULL UNIQUE,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    username TEXT NOT NULL,
    sealed BLOB NOT NULL,
    key_id TEXT NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    identity TEXT,
    serial TEXT UNIQUE,
    owner TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    taken_over INTEGER NOT NULL DEFAULT 0 CHECK (taken_over IN (0, 1)),
    claimed_at INTEGER NOT NULL DEFAULT 0,
    nudged_at INTEGER,
    down_since INTEGER,
    back_at INTEGER,
    attempted_at INTEGER,
    last_error TEXT,
    reconciled_at INTEGER,
    said_at INTEGER,
    version TEXT,
    board TEXT,
    skew_us INTEGER
) STRICT;

CREATE UNIQUE INDEX router_address ON router (lower(host), port);
CREATE INDEX router_tenant ON router (tenant_id);

-- `macs` is the JSON list of the devices, which the table `device` keeps unique. `router_id` may
-- outlive its router. A removed subscriber stays until nothing is owed.
CREATE TABLE subscriber (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL REFERENCES tenant (id),
    username TEXT NOT NULL,
    service TEXT NOT NULL,
    access TEXT NOT NULL CHECK (access IN ('none', 'until', 'forever')),
    ends_at INTEGER CHECK ((ends_at IS NOT NULL) = (access = 'until')),
    revision INTEGER NOT NULL,
    planned_revision INTEGER NOT NULL DEFAULT 0,
    router_id INTEGER,
    macs TEXT NOT NULL,
    removed_at INTEGER
) STRICT;

CREATE UNIQUE INDEX subscriber_username ON subscriber (tenant_id, username)
    WHERE removed_at IS NULL;
CREATE INDEX subscriber_tenant ON subscriber (tenant_id, id);
CREATE INDEX subscriber_due ON subscriber (ends_at, id) WHERE planned_revision < revision;
CREATE INDEX subscriber_early ON subscriber (ends_at)
    WHERE planned_revision >= revision AND removed_at IS NULL;
CREATE INDEX subscriber_forever ON subscriber (id) WHERE access = 'forever';
CREATE INDEX subscriber_removed ON subscriber (id) WHERE removed_at IS NOT NULL;

CREATE TABLE device (
    tenant_id INTEGER NOT NULL,
    mac TEXT NOT NULL,
    subscriber_id INTEGER NOT NULL REFERENCES subscriber (id) ON DELETE CASCADE,
    PRIMARY KEY (tenant_id, mac)
) STRICT, WITHOUT ROWID;

CREATE INDEX device_subscriber ON device (subscriber_id);

-- One row per target and router. `device` is empty where the target is the subscriber itself, else
-- the MAC that was removed from it. `next_at` is the next attempt while owed, the next look while
-- confirmed. `detached`: the subscriber or the device was removed.
CREATE TABLE enforcement (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL,
    router_id INTEGER NOT NULL REFERENCES router (id),
    subscriber_id INTEGER NOT NULL REFERENCES subscriber (id),
    device TEXT NOT NULL,
    detached INTEGER NOT NULL CHECK (detached IN (0, 1)),
    want TEXT NOT NULL CHECK (want IN ('cut', 'restore')),
    revision INTEGER NOT NULL,
    username TEXT,
    macs TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    backlog INTEGER NOT NULL CHECK (backlog IN (0, 1)),
    state TEXT NOT NULL DEFAULT 'owed' CHECK (state IN ('owed', 'confirmed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER CHECK (next_at IS NOT NULL OR state = 'confirmed'),
    looks INTEGER NOT NULL DEFAULT 0,
    returns INTEGER NOT NULL DEFAULT 0,
    way_in TEXT,
    confirmed_at INTEGER,
    online INTEGER NOT NULL DEFAULT 0 CHECK (online IN (0, 1)),
    last_error TEXT,
    trace TEXT,
    attempted_at INTEGER,
    UNIQUE (subscriber_id, device, router_id)
) STRICT;

CREATE INDEX enforcement_work
    ON enforcement (router_id, want, backlog, due_at, id, next_at, state)
    WHERE next_at IS NOT NULL;
CREATE INDEX enforcement_next ON enforcement (router_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX enforcement_look ON enforcement (router_id, next_at, id)
    WHERE state = 'confirmed' AND next_at IS NOT NULL;
CREATE INDEX enforcement_owed ON enforcement (due_at, id) WHERE state = 'owed';
CREATE INDEX enforcement_detached ON enforcement (tenant_id, device) WHERE detached;
CREATE INDEX enforcement_finished ON enforcement (id) WHERE detached AND next_at IS NULL;

-- What we disabled, and what had been disabled before us (`stay`). Open until `undone_at`. `fresh`: opened or grown since it was last checked
-- whether a live access owns it.
CREATE TABLE undo (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    router_id INTEGER NOT NULL REFERENCES router (id),
    kind TEXT NOT NULL CHECK (kind IN ('name', 'mac')),
    key TEXT NOT NULL,
    items TEXT NOT NULL,
    stay TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    undone_at INTEGER,
    fresh INTEGER NOT NULL CHECK (fresh IN (0, 1)),
    UNIQUE (router_id, kind, key)
) STRICT;

CREATE INDEX undo_open ON undo (kind, key, router_id) WHERE undone_at IS NULL;
CREATE INDEX undo_fresh ON undo (router_id) WHERE fresh;
CREATE INDEX undo_closed ON undo (undone_at) WHERE undone_at IS NOT NULL;

-- What a router let through, when it was last read whole, of nobody we know.
CREATE TABLE stray (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    router_id INTEGER NOT NULL REFERENCES router (id),
    kind TEXT NOT NULL CHECK (kind IN ('session', 'host', 'binding')),
    login TEXT,
    mac TEXT,
    address TEXT,
    way_in TEXT NOT NULL,
    online INTEGER NOT NULL CHECK (online IN (0, 1)),
    comment TEXT,
    first_seen INTEGER NOT NULL
) STRICT;

CREATE INDEX stray_router ON stray (router_id);

-- The audit: append-only, and pruned by age. Holds names and numbers of what may be long gone.
-- `detail` is JSON, by `kind`.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT,
    tenant_id INTEGER NOT NULL,
    subscriber_id INTEGER,
    username TEXT,
    device TEXT,
    router_id INTEGER,
    router TEXT,
    due_at INTEGER,
    lag_us INTEGER,
    outage INTEGER NOT NULL DEFAULT 0 CHECK (outage IN (0, 1))
) STRICT;

CREATE INDEX event_age ON event (at);
CREATE INDEX event_lag ON event (id) WHERE lag_us IS NOT NULL;
CREATE INDEX event_subscriber ON event (subscriber_id, id) WHERE subscriber_id IS NOT NULL;

-- How many first confirmations took longer than the bound below and up to `bound_us`. A row
-- outlives its router, so that sums never shrink.
CREATE TABLE lag_bucket (
    router_id INTEGER NOT NULL,
    want TEXT NOT NULL CHECK (want IN ('cut', 'restore')),
    outage INTEGER NOT NULL CHECK (outage IN (0, 1)),
    bound_us INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum_us INTEGER NOT NULL,
    max_us INTEGER NOT NULL,
    PRIMARY KEY (router_id, want, outage, bound_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE watcher (
    id TEXT PRIMARY KEY,
    heartbeat_at INTEGER NOT NULL,
    ttl_us INTEGER NOT NULL,
    machine TEXT,
    braked INTEGER NOT NULL CHECK (braked IN (0, 1)),
    share_limit INTEGER CHECK (share_limit BETWEEN 1 AND 100)
) STRICT, WITHOUT ROWID;

-- What is known of a machine's clock. `boot_us` is the time since the start that `boot_id` names;
-- `agreed_us` the same when the machine's clock and the database's began to agree.
CREATE TABLE machine (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    boot_us INTEGER NOT NULL,
    wall_at INTEGER NOT NULL,
    braked_at INTEGER,
    apart_us INTEGER,
    jumped_us INTEGER,
    agreed_us INTEGER,
    tolerated INTEGER NOT NULL CHECK (tolerated IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Whose access was ended by a change, lately or without being cut since.
CREATE TABLE ended_by_change (
    subscriber_id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX ended_by_change_at ON ended_by_change (at);

-- Changes ended too many: while there is a row, nothing is cut.
CREATE TABLE share_brake (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    braked_at INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    subscribers INTEGER NOT NULL,
    limit_percent INTEGER NOT NULL
) STRICT;

-- Counts the changes that may give a watcher something to do.
CREATE TABLE signal (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    count INTEGER NOT NULL
) STRICT;

INSERT INTO signal (id, count) VALUES (0, 0);
