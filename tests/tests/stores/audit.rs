use std::{collections::BTreeSet, sync::Arc, time::Duration};

use expiry_core::{AuditEvent, AuditId, Store, SubscriberId};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::{task::JoinSet, time::timeout};

use crate::setup::{Home, add_subscriber, postgres, sqlite};

/// Reads on until there are `count` events. Transactions of other tests hold events back, too.
async fn read(store: &dyn Store, mut after: AuditId, count: usize) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    let enough = async {
        while events.len() < count {
            let page: Vec<AuditEvent> = store.events(after, 7).await.expect("read");
            after = page.last().map_or(after, |event| event.id);
            events.extend(page);
            tokio::task::yield_now().await;
        }
    };
    let read = timeout(Duration::from_secs(30), enough).await;
    read.expect("events are not held back for ever");
    events
}

fn names(events: &[AuditEvent]) -> Vec<&str> {
    let names = events.iter().map(|event| event.entry.username.as_ref());
    names
        .map(|name| name.map_or("", |name| name.as_str()))
        .collect()
}

/// A transaction of somebody else, that tells of `name` when it likes.
struct Other(PgConnection);

impl Other {
    async fn begin(home: &Home) -> Self {
        let mut conn = PgConnection::connect(&home.url).await.expect("connected");
        conn.execute("BEGIN").await.expect("begun");
        conn.execute("SELECT pg_current_xact_id()")
            .await
            .expect("numbered");
        Self(conn)
    }

    async fn tell(&mut self, name: &str) {
        let event = format!(
            "INSERT INTO expiry.event (at, kind, tenant_id, username)
             VALUES (1, 'access_ended', 0, '{name}')"
        );
        self.0.execute(AssertSqlSafe(event)).await.expect("told");
    }

    async fn end(mut self, how: &'static str) {
        self.0.execute(how).await.expect("ended");
        self.0.close().await.expect("closed");
    }
}

#[tokio::test]
async fn r9_readers_stop_below_the_oldest_open_transaction() {
    let home = postgres().await;
    let store = home.open().await;
    let now = store.now().await.expect("time");
    let later = now + Duration::from_hours(1);
    add_subscriber(&*store, "before", later).await;
    let before = read(&*store, AuditId::START, 1).await;

    let mut other = Other::begin(&home).await;
    add_subscriber(&*store, "after", later).await;
    assert_eq!(store.events(before[0].id, 9).await.expect("read"), []);
    other.tell("open").await;
    assert_eq!(store.events(before[0].id, 9).await.expect("read"), []);
    other.end("COMMIT").await;

    let rest = read(&*store, before[0].id, 2).await;
    assert_eq!(names(&rest), ["open", "after"]);
}

#[tokio::test]
async fn r9_a_transaction_that_was_given_up_holds_nothing_back() {
    let home = postgres().await;
    let store = home.open().await;
    let later = store.now().await.expect("time") + Duration::from_hours(1);
    let mut other = Other::begin(&home).await;
    other.tell("never").await;
    add_subscriber(&*store, "s", later).await;
    assert_eq!(store.events(AuditId::START, 9).await.expect("read"), []);

    other.end("ROLLBACK").await;

    assert_eq!(names(&read(&*store, AuditId::START, 1).await), ["s"]);
}

#[tokio::test]
async fn r9_an_event_with_a_lower_number_that_comes_later_is_not_skipped() {
    let home = postgres().await;
    let store = home.open().await;
    let mut older = Other::begin(&home).await;
    let mut younger = Other::begin(&home).await;
    younger.tell("first number").await;
    older.tell("second number").await;
    older.end("COMMIT").await;
    let read_first = read(&*store, AuditId::START, 1).await;
    assert_eq!(names(&read_first), ["second number"]);
    younger.end("COMMIT").await;

    let rest = read(&*store, read_first[0].id, 1).await;

    assert_eq!(names(&rest), ["first number"]);
    assert!(rest[0].id.number < read_first[0].id.number);
}

const EACH: usize = 25;

/// Somebody reads on while many write; nothing is skipped, and nothing comes twice.
async fn follows(home: Home, writer_count: usize) {
    let store = home.open().await;
    let later = store.now().await.expect("time") + Duration::from_hours(1);
    let mut writers = JoinSet::new();
    for writer in 0..writer_count {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for at in 0..EACH {
                add_subscriber(&*store, &format!("s{writer}-{at}"), later).await;
            }
        });
    }
    let followed = read(&*store, AuditId::START, writer_count * EACH).await;
    writers.join_all().await;

    let of: BTreeSet<_> = followed
        .iter()
        .map(|event| event.entry.subscriber)
        .collect();
    let made = store.subscribers(None, SubscriberId(0), u32::MAX).await;
    let made = made.expect("listed");
    assert_eq!(of, made.iter().map(|made| Some(made.id)).collect());
    assert_eq!(followed.len(), writer_count * EACH);
    assert!(followed.is_sorted_by_key(|event| event.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_who_follows_the_events_of_postgres_misses_none() {
    follows(postgres().await, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_who_follows_the_events_of_sqlite_misses_none() {
    follows(sqlite(), 2).await;
}

#[tokio::test]
async fn events_of_a_dump_from_another_server_are_read_first() {
    let home = postgres().await;
    let store = home.open().await;
    let later = store.now().await.expect("time") + Duration::from_hours(1);
    for name in ["one", "two"] {
        add_subscriber(&*store, name, later).await;
    }
    drop(store);
    let mut conn = PgConnection::connect(&home.url).await.expect("connected");
    let foreign = "UPDATE expiry.event SET xid = '9000000000000' WHERE username = 'two'";
    conn.execute(foreign).await.expect("as restored");
    conn.close().await.expect("closed");

    let store = home.open().await;
    add_subscriber(&*store, "three", later).await;

    let events = read(&*store, AuditId::START, 3).await;
    assert_eq!(names(&events), ["one", "two", "three"]);
}
