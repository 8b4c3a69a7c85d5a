//! What is true now. Everything is counted in one state of the database.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use expiry_core::{
    Backlog, LATE_AFTER, OwedFilter, OwedItem, OwedPlace, RETURNS_UNTIL_CANNOT_HOLD, RouterAddress,
    RouterId, RouterSaid, RouterStatus, SOON, Status, StoreError, SubscriberId, TaskId, Tries, Try,
    Want, WatcherStatus,
};
use sqlx::FromRow;

use super::{Tx, brake, watch};
use crate::{
    error::Result,
    row::{Cell, hardware, instant, span, want_word, watcher_id},
};

/// Whether a row of `enforcement` is a cut whose end was known late and that was not made yet:
/// `Lateness::Backlog`.
macro_rules! is_backlog {
    ($row:literal) => {
        concat!(
            "(",
            $row,
            "known_late_at IS NOT NULL AND ",
            $row,
            "confirmed_at IS NULL AND ",
            $row,
            "returns = 0)"
        )
    };
}
pub(super) use is_backlog;

/// A cut that was due before this is late, if it is no backlog, in microseconds.
pub(super) fn late_before(tx: &Tx) -> i64 {
    tx.now - LATE_AFTER.num_seconds() * 1_000_000
}

/// What is owed on routers.
type Owed = BTreeMap<i64, OwedOn>;

#[derive(Clone, Copy, Default)]
struct OwedOn {
    cuts: u64,
    restores: u64,
    oldest_cut: Option<i64>,
}

pub(super) async fn status(tx: &mut Tx, limit: u32) -> Result<Status> {
    let live = live_subscribers(tx).await?;
    let owed = owed_subscribers(tx).await?;
    let filter = OwedFilter::default();
    let mut items = owed_items(tx, filter, Part::Current, None, limit).await?;
    let left = limit.saturating_sub(u32::try_from(items.len()).unwrap_or(limit));
    items.extend(owed_items(tx, filter, Part::Backlog, None, left).await?);
    of_counts(tx, live, owed, items).await
}

/// Adds to what was counted and listed already what is still missing.
pub(super) async fn of_counts(
    tx: &mut Tx,
    live_subscribers: u64,
    subscribers: OwedSubscribers,
    items: Vec<OwedItem>,
) -> Result<Status> {
    let owed = owed_by_router(tx).await?;
    let watchers = watchers(tx).await?;
    let routers = routers(tx, &owed, &watchers).await?;
    let enabled = routers.iter().filter(|router| router.enabled);
    let (owed_cuts, owed_restores) = enabled.fold((0, 0), |(cuts, restores), router| {
        (cuts + router.owed_cuts, restores + router.owed_restores)
    });
    Ok(Status {
        now: instant(tx.now)?,
        brakes: brake::brakes(tx).await?,
        live_subscribers,
        owed_cuts,
        owed_restores,
        owed_subscribers: subscribers.all,
        late_subscribers: subscribers.late,
        backlog: subscribers.backlog,
        next_deadline: next_deadline(tx).await?.map(instant).transpose()?,
        watchers,
        routers,
        owed: items,
    })
}

async fn live_subscribers(tx: &mut Tx) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT (SELECT COUNT(*) FROM subscriber WHERE planned_revision < revision
                     AND ends_at > $1)
              + (SELECT COUNT(*) FROM subscriber WHERE access = 'forever')",
    )
    .bind(tx.now)
    .fetch_one(tx.conn())
    .await?;
    count_of(count)
}

pub(super) async fn next_deadline(tx: &mut Tx) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar(
        "SELECT ends_at FROM subscriber WHERE planned_revision < revision AND ends_at > $1
         ORDER BY ends_at LIMIT 1",
    )
    .bind(tx.now)
    .fetch_optional(tx.conn())
    .await?)
}

/// Counts the rows that are owed, and the cuts that are owed since a deadline passed although
/// nobody has planned them yet.
async fn owed_by_router(tx: &mut Tx) -> Result<Owed> {
    let rows: Vec<(i64, i64, i64, Option<i64>)> = sqlx::query_as(concat!(
        "SELECT router_id, COUNT(*) FILTER (WHERE want = 'cut'),
             COUNT(*) FILTER (WHERE want = 'restore'),
             MIN(due_at) FILTER (WHERE want = 'cut' AND NOT ",
        is_backlog!(""),
        ")
         FROM enforcement WHERE next_at IS NOT NULL AND state = 'owed' AND due_at <= $1
         GROUP BY router_id"
    ))
    .bind(tx.now)
    .fetch_all(tx.conn())
    .await?;
    let mut owed = Owed::new();
    for (router, cuts, restores, oldest_cut) in rows {
        let (cuts, restores) = (count_of(cuts)?, count_of(restores)?);
        let on = OwedOn {
            cuts,
            restores,
            oldest_cut,
        };
        owed.insert(router, on);
    }
    let unseen_before = watch::unseen_before(tx).await?;
    let unplanned: Vec<(i64, i64, Option<i64>)> = sqlx::query_as(
        "SELECT r.id, COUNT(*), MIN(s.ends_at) FILTER (WHERE s.ends_at >= $2)
         FROM subscriber s
         JOIN router r ON r.tenant_id = s.tenant_id AND r.enabled
              AND (s.router_id IS NULL OR s.router_id = r.id)
         WHERE s.planned_revision < s.revision AND s.ends_at <= $1
         GROUP BY r.id",
    )
    .bind(tx.now)
    .bind(unseen_before)
    .fetch_all(tx.conn())
    .await?;
    for (router, cuts, oldest) in unplanned {
        let on = owed.entry(router).or_default();
        on.cuts += count_of(cuts)?;
        on.oldest_cut = on.oldest_cut.into_iter().chain(oldest).min();
    }
    Ok(owed)
}

/// Subscribers who are owed a cut, each once, on however many routers, planned or not.
#[derive(Clone, Copy)]
pub(super) struct OwedSubscribers {
    all: u64,
    late: u64,
    backlog: Backlog,
}

pub(super) async fn owed_subscribers(tx: &mut Tx) -> Result<OwedSubscribers> {
    let unseen_before = watch::unseen_before(tx).await?;
    let (all, late, left, known_since): (i64, i64, i64, Option<i64>) = sqlx::query_as(concat!(
        "SELECT COUNT(*), COUNT(*) FILTER (WHERE late > 0), COUNT(*) FILTER (WHERE backlog > 0),
             MIN(known_late_at)
         FROM (SELECT subscriber_id, MAX(late) AS late, MAX(backlog) AS backlog,
                   MIN(known_late_at) AS known_late_at
               FROM (SELECT e.subscriber_id,
                         CASE WHEN NOT ",
        is_backlog!("e."),
        " AND e.due_at < $2 THEN 1 ELSE 0 END AS late,
                         CASE WHEN ",
        is_backlog!("e."),
        " THEN 1 ELSE 0 END AS backlog,
                         CASE WHEN ",
        is_backlog!("e."),
        " THEN e.known_late_at END AS known_late_at
                     FROM enforcement e JOIN router r ON r.id = e.router_id AND r.enabled
                     WHERE e.next_at IS NOT NULL AND e.state = 'owed' AND e.want = 'cut'
                       AND e.due_at <= $1
                     UNION ALL
                     SELECT s.id, CASE WHEN s.ends_at >= $3 AND s.ends_at < $2 THEN 1 ELSE 0 END,
                         CASE WHEN s.ends_at < $3 THEN 1 ELSE 0 END, NULL
                     FROM subscriber s
                     JOIN router r ON r.tenant_id = s.tenant_id AND r.enabled
                          AND (s.router_id IS NULL OR s.router_id = r.id)
                     WHERE s.planned_revision < s.revision AND s.ends_at <= $1) AS cuts
               GROUP BY subscriber_id) AS owed"
    ))
    .bind(tx.now)
    .bind(late_before(tx))
    .bind(unseen_before)
    .fetch_one(tx.conn())
    .await?;
    let left = count_of(left)?;
    let done = match known_since {
        Some(since) if left > 0 => taken_off(tx, since).await?,
        _ => 0,
    };
    Ok(OwedSubscribers {
        all: count_of(all)?,
        late: count_of(late)?,
        backlog: Backlog {
            left,
            of: left + done,
        },
    })
}

/// Counts whose end was known late and who was taken off everywhere, since an instant.
async fn taken_off(tx: &mut Tx, since: i64) -> Result<u64> {
    let done: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM (
             SELECT DISTINCT subscriber_id FROM enforcement
             WHERE known_late_at IS NOT NULL AND confirmed_at >= $1 AND state = 'confirmed'
             EXCEPT
             SELECT subscriber_id FROM enforcement WHERE state = 'owed') AS done",
    )
    .bind(since)
    .fetch_one(tx.conn())
    .await?;
    count_of(done)
}

/// Counts the accesses that end soon in the scope of the routers that do not answer, or where something
/// is in the way.
async fn ends_soon(tx: &mut Tx) -> Result<BTreeMap<i64, i64>> {
    let counts: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT r.id, COUNT(*) FROM subscriber s
         JOIN router r ON r.tenant_id = s.tenant_id AND r.enabled
              AND (s.router_id IS NULL OR s.router_id = r.id)
         WHERE s.planned_revision < s.revision AND s.ends_at > $1 AND s.ends_at <= $2
           AND (r.down_since IS NOT NULL OR r.attempted_at IS NULL OR r.last_error IS NOT NULL)
         GROUP BY r.id",
    )
    .bind(tx.now)
    .bind(tx.now.saturating_add(span(SOON)))
    .fetch_all(tx.conn())
    .await?;
    Ok(counts.into_iter().collect())
}

#[derive(FromRow)]
struct WatcherRow {
    id: String,
    heartbeat_at: i64,
    ttl_us: i64,
    machine: Option<String>,
    braked: bool,
    interval_us: Option<i64>,
    kind: String,
}

pub(super) async fn watchers(tx: &mut Tx) -> Result<Vec<WatcherStatus>> {
    let rows: Vec<WatcherRow> = sqlx::query_as(
        "SELECT id, heartbeat_at, ttl_us, machine, braked, interval_us, kind
         FROM watcher ORDER BY heartbeat_at DESC, id",
    )
    .fetch_all(tx.conn())
    .await?;
    let now = tx.now;
    let watchers = rows.into_iter().map(|row| {
        let interval = row.interval_us.map(i64::unsigned_abs);
        let cell = Cell {
            table: "watcher",
            column: "kind",
            key: row.id.as_str(),
        };
        Ok(WatcherStatus {
            kind: cell.watcher_kind(&row.kind)?,
            id: watcher_id("watcher", &row.id)?,
            heartbeat_at: instant(row.heartbeat_at)?,
            // A heartbeat from far ahead is one of a clock that was wrong.
            alive: (now - row.heartbeat_at).abs() < row.ttl_us,
            machine: row.machine,
            braked: row.braked,
            interval: interval.map(Duration::from_micros),
        })
    });
    watchers.collect()
}

#[derive(FromRow)]
struct Row {
    id: i64,
    name: String,
    tenant: String,
    host: String,
    port: i64,
    enabled: bool,
    owner: Option<String>,
    identity: Option<String>,
    serial: Option<String>,
    down_since: Option<i64>,
    attempted_at: Option<i64>,
    last_error: Option<String>,
    reconciled_at: Option<i64>,
    strays: i64,
    said_at: Option<i64>,
    version: Option<String>,
    board: Option<String>,
    skew_us: Option<i64>,
}

async fn routers(
    tx: &mut Tx,
    owed: &Owed,
    watchers: &[WatcherStatus],
) -> Result<Vec<RouterStatus>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT r.id, r.name, t.slug AS tenant, r.host, r.port, r.enabled, r.owner, r.identity,
             r.serial, r.down_since, r.attempted_at, r.last_error, r.reconciled_at,
             (SELECT COUNT(*) FROM stray x WHERE x.router_id = r.id) AS strays,
             r.said_at, r.version, r.board, r.skew_us
         FROM router r JOIN tenant t ON t.id = r.tenant_id ORDER BY r.name",
    )
    .fetch_all(tx.conn())
    .await?;
    let alive = watchers.iter().filter(|watcher| watcher.alive);
    let alive: BTreeSet<_> = alive.map(|watcher| watcher.id).collect();
    let may_miss = |row: &Row| {
        let is_unreached = row.down_since.is_some() || row.attempted_at.is_none();
        row.enabled && (is_unreached || row.last_error.is_some())
    };
    let ends_soon = if rows.iter().any(may_miss) {
        ends_soon(tx).await?
    } else {
        BTreeMap::new()
    };
    let mut routers = Vec::with_capacity(rows.len());
    for row in rows {
        let owner = row.owner.as_deref().map(|id| watcher_id("router", id));
        let owed = match owed.get(&row.id) {
            Some(&owed) if row.enabled => owed,
            _ => OwedOn::default(),
        };
        let cell = |column| Cell {
            table: "router",
            column,
            key: row.id,
        };
        let soon = count_of(ends_soon.get(&row.id).copied().unwrap_or_default())?;
        let said = row.said_at.map(|at| {
            Ok::<_, StoreError>(RouterSaid {
                at: cell("said_at").time(at)?,
                version: row.version,
                board: row.board,
                clock_skew_ms: row.skew_us.map(|skew| skew / 1_000),
            })
        });
        let status = RouterStatus {
            ends_soon: None,
            id: RouterId(row.id),
            tenant: slug(row.tenant),
            address: RouterAddress::place(&row.host, cell("port").number(row.port)?),
            enabled: row.enabled,
            owner: owner.transpose()?.filter(|owner| alive.contains(owner)),
            seen: hardware(row.identity, row.serial),
            down_since: cell("down_since").maybe_time(row.down_since)?,
            attempted_at: cell("attempted_at").maybe_time(row.attempted_at)?,
            last_error: row.last_error,
            name: row.name,
            owed_cuts: owed.cuts,
            owed_restores: owed.restores,
            oldest_cut: cell("due_at").maybe_time(owed.oldest_cut)?,
            said: said.transpose()?,
            reconciled_at: cell("reconciled_at").maybe_time(row.reconciled_at)?,
            strays: count_of(row.strays)?,
        };
        let ends_soon = status.is_out_of_reach().then_some(soon);
        routers.push(RouterStatus {
            ends_soon,
            ..status
        });
    }
    Ok(routers)
}

#[derive(FromRow)]
struct OwedRow {
    id: i64,
    subscriber_id: i64,
    username: String,
    device: String,
    tenant: String,
    router: String,
    router_id: i64,
    want: String,
    due_at: i64,
    online: bool,
    attempts: i64,
    attempted_at: Option<i64>,
    router_attempted_at: Option<i64>,
    last_error: Option<String>,
    returns: i64,
    way_in: Option<String>,
    backlog: bool,
}

/// Which part of what is owed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// All but the backlog.
    Current,
    Backlog,
}

impl Part {
    /// Returns -1 for all, else whether it is the backlog.
    fn column(self) -> i64 {
        match self {
            Self::All => -1,
            Self::Current => 0,
            Self::Backlog => 1,
        }
    }
}

/// What passes the filter, and how much that is in all.
pub(super) async fn owed(
    tx: &mut Tx,
    filter: OwedFilter,
    after: Option<OwedPlace>,
    limit: u32,
) -> Result<(u64, Vec<OwedItem>)> {
    let routers: Vec<i64> = sqlx::query_scalar("SELECT id FROM router WHERE enabled")
        .fetch_all(tx.conn())
        .await?;
    let by_router = owed_by_router(tx).await?.into_iter();
    let passing = by_router.filter(|(router, _)| {
        routers.contains(router) && filter.router.is_none_or(|only| only.0 == *router)
    });
    let count = passing.map(|(_, on)| match filter.want {
        None => on.cuts + on.restores,
        Some(Want::Cut) => on.cuts,
        Some(Want::Restore) => on.restores,
    });
    let count = count.sum();
    let items = owed_items(tx, filter, Part::All, after, limit).await?;
    Ok((count, items))
}

async fn owed_items(
    tx: &mut Tx,
    filter: OwedFilter,
    part: Part,
    after: Option<OwedPlace>,
    limit: u32,
) -> Result<Vec<OwedItem>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut items = planned_items(tx, filter, part, after, limit).await?;
    if filter.want != Some(Want::Restore) {
        items.extend(unplanned_items(tx, filter, part, after, limit).await?);
    }
    items.sort_by_key(OwedItem::place);
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(items)
}

/// A router that is down was tried for all that is owed there.
async fn planned_items(
    tx: &mut Tx,
    filter: OwedFilter,
    part: Part,
    after: Option<OwedPlace>,
    limit: u32,
) -> Result<Vec<OwedItem>> {
    let task = after.and_then(|after| after.task);
    let rows: Vec<OwedRow> = sqlx::query_as(concat!(
        "SELECT e.id, e.subscriber_id, s.username, e.device, t.slug AS tenant, r.name AS router,
             e.router_id, e.want, e.due_at, e.online, e.attempts, e.attempted_at,
             CASE WHEN r.down_since IS NOT NULL THEN r.attempted_at END AS router_attempted_at,
             COALESCE(e.last_error, r.last_error) AS last_error, e.returns, e.way_in,
             ",
        is_backlog!("e."),
        " AS backlog
         FROM enforcement e
         JOIN router r ON r.id = e.router_id AND r.enabled
         JOIN tenant t ON t.id = r.tenant_id
         JOIN subscriber s ON s.id = e.subscriber_id
         WHERE e.state = 'owed' AND e.due_at <= $2
           AND ($3 = 0 OR e.router_id = $3) AND ($4 = '' OR e.want = $4)
           AND (e.due_at, e.id) > ($5, $6)
           AND ($7 < 0 OR CASE WHEN ",
        is_backlog!("e."),
        " THEN 1 ELSE 0 END = $7)
         ORDER BY e.due_at, e.id LIMIT $1"
    ))
    .bind(i64::from(limit))
    .bind(tx.now)
    .bind(filter.router.map_or(0, |router| router.0))
    .bind(filter.want.map_or("", want_word))
    .bind(since(after))
    .bind(task.map_or(0, |task| task.0))
    .bind(part.column())
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(owed_item).collect()
}

/// Reads of all that is owed no more than when it was last tried.
pub(super) async fn tries(tx: &mut Tx) -> Result<Tries> {
    let rows: Vec<(i64, Option<i64>, Option<i64>, i64)> = sqlx::query_as(
        "SELECT e.id, e.attempted_at,
             CASE WHEN r.down_since IS NOT NULL THEN r.attempted_at END, e.returns
         FROM enforcement e JOIN router r ON r.id = e.router_id AND r.enabled
         WHERE e.state = 'owed' AND e.due_at <= $1",
    )
    .bind(tx.now)
    .fetch_all(tx.conn())
    .await?;
    let tasks = rows.into_iter().map(|(id, at, router_at, returns)| {
        let cell = |column| Cell {
            table: "enforcement",
            column,
            key: id,
        };
        let returns: u32 = cell("returns").number(returns)?;
        Ok(Try {
            task: TaskId(id),
            at: cell("attempted_at").maybe_time(at.max(router_at))?,
            cannot_hold: returns >= RETURNS_UNTIL_CANNOT_HOLD,
        })
    });
    Ok(Tries {
        now: instant(tx.now)?,
        tasks: tasks.collect::<Result<_>>()?,
    })
}

async fn unplanned_items(
    tx: &mut Tx,
    filter: OwedFilter,
    part: Part,
    after: Option<OwedPlace>,
    limit: u32,
) -> Result<Vec<OwedItem>> {
    // They stand before all that is planned and owed as long. An index serves what concerns them
    // alone.
    let (subscriber, router) = match after {
        None => (0, 0),
        Some(OwedPlace { task: Some(_), .. }) => (i64::MAX, i64::MAX),
        Some(after) => (after.subscriber.0, after.router.0),
    };
    let unseen_before = watch::unseen_before(tx).await?;
    let rows: Vec<(i64, String, String, i64, String, i64)> = sqlx::query_as(
        "SELECT s.id, s.username, t.slug, r.id, r.name, s.ends_at
         FROM subscriber s
         JOIN router r ON r.tenant_id = s.tenant_id AND r.enabled
              AND (s.router_id IS NULL OR s.router_id = r.id)
         JOIN tenant t ON t.id = s.tenant_id
         WHERE s.planned_revision < s.revision AND s.ends_at <= $1 AND ($3 = 0 OR r.id = $3)
           AND ($7 < 0 OR CASE WHEN s.ends_at < $8 THEN 1 ELSE 0 END = $7)
           AND (s.ends_at, s.id) >= ($4, $5) AND (s.ends_at, s.id, r.id) > ($4, $5, $6)
         ORDER BY s.ends_at, s.id, r.id LIMIT $2",
    )
    .bind(tx.now)
    .bind(i64::from(limit))
    .bind(filter.router.map_or(0, |router| router.0))
    .bind(since(after))
    .bind(subscriber)
    .bind(router)
    .bind(part.column())
    .bind(unseen_before)
    .fetch_all(tx.conn())
    .await?;
    let items = rows.into_iter();
    let items = items.map(|(id, username, tenant, router_id, router, end)| {
        let cell = |column| Cell {
            table: "subscriber",
            column,
            key: id,
        };
        let item = OwedItem::unplanned(
            (SubscriberId(id), cell("username").parse(&username)?),
            slug(tenant),
            (RouterId(router_id), router),
            cell("ends_at").time(end)?,
        );
        Ok(OwedItem {
            backlog: end < unseen_before,
            ..item
        })
    });
    items.collect()
}

fn owed_item(row: OwedRow) -> Result<OwedItem> {
    let cell = |column| Cell {
        table: "enforcement",
        column,
        key: row.id,
    };
    let returns: u32 = cell("returns").number(row.returns)?;
    let device = (!row.device.is_empty()).then(|| cell("device").parse(&row.device));
    let attempted_at = row.attempted_at.max(row.router_attempted_at);
    Ok(OwedItem {
        task: Some(TaskId(row.id)),
        subscriber: SubscriberId(row.subscriber_id),
        username: cell("subscriber").parse(&row.username)?,
        device: device.transpose()?,
        want: cell("want").want(&row.want)?,
        since: cell("due_at").time(row.due_at)?,
        attempts: cell("attempts").number(row.attempts)?,
        attempted_at: cell("attempted_at").maybe_time(attempted_at)?,
        way_in: cell("way_in").way_in(row.way_in.as_deref())?,
        cannot_hold: returns >= RETURNS_UNTIL_CANNOT_HOLD,
        online: row.online,
        backlog: row.backlog && row.want == "cut",
        last_error: row.last_error,
        tenant: slug(row.tenant),
        router: row.router,
        router_id: RouterId(row.router_id),
    })
}

/// Since when something is owed that stands somewhere; before everything without a place.
fn since(place: Option<OwedPlace>) -> i64 {
    place.map_or(i64::MIN, |place| place.since.timestamp_micros())
}

/// The tenant that stands for none has no slug.
pub(super) fn slug(slug: String) -> Option<String> {
    (!slug.is_empty()).then_some(slug)
}

pub(super) fn count_of(count: i64) -> Result<u64> {
    let cell = Cell {
        table: "query result",
        column: "count",
        key: "count",
    };
    Ok(cell.number(count)?)
}
