use std::{collections::BTreeSet, fs};

use chrono::TimeDelta;
use expiry_core::{
    Access, Directory, EnforcementStore, NewSubscriber, PasswordStore, Service, StatusStore,
};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::{file::beside, opening::reading, *};

#[tokio::test]
async fn r7_ends_planned_too_early_are_taken_back_together() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("a.db");
    let url = format!("sqlite:{}", file.display());
    let mut config = StoreConfig::parse(&url).expect("valid");
    let store = Backend::open(&config, &file).await.expect("opened");
    config.clock_ahead = TimeDelta::hours(1);
    let ahead = Backend::open(&config, &file).await.expect("opened");
    let end = store.now().await.expect("a clock") + TimeDelta::minutes(30);
    for number in 0..30 {
        let new = NewSubscriber {
            tenant: None,
            username: format!("s{number}").parse().expect("a name"),
            service: Service::Hotspot,
            access: Access::Until(end),
            router: None,
            devices: BTreeSet::new(),
        };
        store.add_subscriber(&new).await.expect("added");
    }
    let planned = ahead.plan_due(100).await.expect("planned");
    assert_eq!(planned.subscribers, 30);
    let signals = async || -> i64 {
        let mut conn = reading(&file).connect().await.expect("connected");
        let count = sqlx::query_scalar("SELECT count FROM signal");
        count.fetch_one(&mut conn).await.expect("read")
    };
    let before = signals().await;

    let planned = store.plan_due(100).await.expect("planned");

    assert_eq!(planned.subscribers, 30);
    let status = store.status(0).await.expect("status");
    assert_eq!(status.live_subscribers, 30);
    assert!(signals().await - before <= 2);
}

#[tokio::test]
async fn r7_what_is_asked_all_the_time_reads_no_table_from_end_to_end() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("a.db");
    let config = StoreConfig::parse(&format!("sqlite:{}", file.display())).expect("valid");
    prepare(&config, &file, Upgrade::OnlyEmpty)
        .await
        .expect("prepared");
    let mut conn = reading(&file).connect().await.expect("connected");
    let small = ["subscriber_removed", "enforcement_finished", "undo_fresh"];
    let derived = [
        "SCAN CONSTANT ROW",
        "SCAN restores",
        "SCAN fresh",
        "SCAN looks",
        "SCAN late",
        "SCAN unseen",
    ];
    for statement in [
        sql::planning::NEXT_DEADLINE,
        sql::planning::LEFT_OVER,
        sql::reconcile::NEXT_DEADLINE,
        sql::work::READY,
        sql::work::NEXT_AT,
        sql::prune::OLD_EVENTS,
        sql::prune::OLD_UNDO,
        sql::prune::OLD_PAYMENTS,
        EVENTS_AFTER,
        EVENTS_OF,
        EVENTS_OF_FORMER,
    ] {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
            .fetch_all(&mut conn)
            .await
            .expect("explained");
        assert!(
            steps
                .iter()
                .any(|step| step.3.contains("INDEX") || step.3.contains("KEY"))
        );
        let looks = "enforcement_look (router_id=? AND next_at<?)";
        let finds_looks = steps.iter().any(|step| step.3.ends_with(looks));
        assert!(statement != sql::work::READY || finds_looks, "{steps:?}");
        for (_, _, _, step) in steps {
            let is_small = small.iter().any(|index| step.ends_with(index))
                || derived.iter().any(|name| step == *name);
            assert!(
                !step.starts_with("SCAN") || is_small,
                "{step} in {statement}"
            );
        }
    }
}

/// Lets the writer's connection have no more pages than it has, as a full disk would, or as many as it
/// wants.
async fn fill_up(store: &Backend, is_full: bool) {
    let open = store.connections.current().await.expect("it is there");
    let mut conn = open.writer.acquire().await.expect("a connection");
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut *conn)
        .await
        .expect("counted");
    let most = if is_full { pages } else { 1_000_000 };
    let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {most}"));
    sqlx::query(limit).execute(&mut *conn).await.expect("set");
    conn.return_to_pool().await;
}

async fn add(store: &Backend, number: usize) -> std::result::Result<(), StoreError> {
    let new = NewSubscriber {
        tenant: None,
        username: format!("s{number}").parse().expect("a name"),
        service: Service::Hotspot,
        access: Access::Forever,
        router: None,
        devices: BTreeSet::new(),
    };
    store.add_subscriber(&new).await.map(drop)
}

async fn opened(directory: &Path) -> Backend {
    let file = directory.join("a.db");
    let url = format!("sqlite:{}", file.display());
    let config = StoreConfig::parse(&url).expect("valid");
    Backend::open(&config, &file).await.expect("opened")
}

#[tokio::test]
async fn r2_a_connection_whose_transaction_the_disk_ended_is_never_used_again() {
    let directory = tempfile::tempdir().expect("directory");
    let store = opened(directory.path()).await;
    for round in 0..3 {
        fill_up(&store, true).await;
        let mut number = round * 100_000;
        let refused = loop {
            number += 1;
            if let Err(error) = add(&store, number).await {
                break error;
            }
        };
        assert!(refused.is_transient(), "{refused:?}");
        fill_up(&store, false).await;
        add(&store, number).await.expect("there is room again");
    }
}

#[tokio::test]
async fn r2_a_connection_whose_commit_failed_is_never_used_again() {
    let directory = tempfile::tempdir().expect("directory");
    let store = opened(directory.path()).await;
    for number in 0..3 {
        let mut tx = store.begin(Mode::Plan).await.expect("begun");
        // What a full disk does on its own.
        sqlx::raw_sql("ROLLBACK")
            .execute(tx.conn())
            .await
            .expect("ended");
        tx.commit().await.expect_err("there is nothing to commit");
        add(&store, number).await.expect("taken");
    }
}

#[tokio::test]
async fn r2_a_call_that_is_given_up_at_any_place_leaves_a_writer_behind() {
    let directory = tempfile::tempdir().expect("directory");
    let store = opened(directory.path()).await;
    let mut number = 0;
    for polls in 0..60 {
        number += 1;
        let mut call = Box::pin(add(&store, number));
        for _ in 0..polls {
            if poll_once(&mut call).await {
                break;
            }
        }
        drop(call);
        number += 1;
        add(&store, number).await.expect("taken");
    }
}

/// Polls once, and tells whether it is over.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::select! {
        biased;
        _ = future => true,
        () = tokio::time::sleep(Duration::from_micros(50)) => false,
    }
}

/// Adds until it is taken, at most so many times.
async fn add_at_last(store: &Backend, number: usize, tries: usize) -> Vec<String> {
    let mut refusals = Vec::new();
    for _ in 0..tries {
        match add(store, number).await {
            Ok(()) => return refusals,
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                let StoreError::Unavailable(why) = error else {
                    unreachable!("nothing was done")
                };
                refusals.push(why.to_string());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never taken: {refusals:?}");
}

#[tokio::test]
async fn r2_a_file_that_was_replaced_is_opened_without_what_was_written_to_the_one_before() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("a.db");
    let store = opened(directory.path()).await;
    add(&store, 1).await.expect("taken");
    let mut feed = store.changes().await.expect("a feed");
    let other = tempfile::tempdir().expect("directory");
    let backup = opened(other.path()).await;
    add(&backup, 2).await.expect("taken");
    for pool in {
        let open = backup.connections.current().await.expect("there");
        [open.writer.clone(), open.readers.clone()]
    } {
        pool.close().await;
    }
    // The write-ahead log of the file of before stays: nobody thinks of it.
    fs::rename(other.path().join("a.db"), &file).expect("replaced");
    assert!(fs::metadata(beside(&file, "-wal")).expect("there").len() > 0);

    let refusals = add_at_last(&store, 3, 50).await;

    assert!(refusals[0].contains("was replaced"), "{refusals:?}");
    let lost = feed.changed().await.expect_err("it was for another file");
    assert!(lost.is_transient(), "{lost:?}");
    drop(store);
    let store = opened(directory.path()).await;
    let status = store.status(0).await.expect("read");
    assert_eq!(
        status.live_subscribers, 2,
        "what was in the backup, and the new one"
    );
    assert_eq!(put_aside(directory.path()), 1);

    // What is put aside next does not take the place of what was.
    let other = tempfile::tempdir().expect("directory");
    drop(opened(other.path()).await);
    fs::rename(other.path().join("a.db"), &file).expect("replaced");
    add_at_last(&store, 4, 50).await;
    assert_eq!(put_aside(directory.path()), 2);
}

/// Counts the logs of files that were replaced.
fn put_aside(directory: &Path) -> usize {
    let files = fs::read_dir(directory).expect("read");
    let names = files.map(|file| file.expect("read").file_name());
    let aside = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.starts_with("a.db-wal.of-replaced-") && name.ends_with('Z')
    };
    names.filter(aside).count()
}

#[tokio::test]
async fn r2_who_waits_while_another_gives_the_connections_up_is_served_by_the_next() {
    let directory = tempfile::tempdir().expect("directory");
    let store = opened(directory.path()).await;
    let held = store.begin(Mode::Order).await.expect("begun");
    let mut waits = Box::pin(add(&store, 1));
    assert!(futures::poll!(&mut waits).is_pending());
    let open = store.connections.current().await.expect("there");
    store.connections.give_up(&open);
    while !open.writer.is_closed() {
        tokio::task::yield_now().await;
    }
    held.commit().await.expect("ended");

    waits.await.expect("taken");
}

#[tokio::test]
async fn r3_a_commit_that_sqlite_refused_was_not_done_and_one_without_its_word_may_be() {
    let directory = tempfile::tempdir().expect("directory");
    let store = opened(directory.path()).await;
    let mut tx = store.begin(Mode::Order).await.expect("begun");
    let wrong = "CREATE TABLE a (id INTEGER PRIMARY KEY);
         CREATE TABLE b (a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO b VALUES (9);";
    let done = sqlx::raw_sql(wrong).execute(tx.conn()).await;
    done.expect("only the end looks at it");
    let refused = tx.commit().await.expect_err("it refers to nothing");
    assert!(matches!(refused, Fault::Sql(_)), "{refused:?}");

    assert!(!refuses_commit(&sqlx::Error::WorkerCrashed));
}

#[tokio::test]
async fn r3_a_commit_that_outlasts_the_limit_may_have_been_done() {
    let limit = Duration::from_millis(10);
    let directory = tempfile::tempdir().expect("directory");
    let store = opened(directory.path()).await;
    for mode in [Mode::Read, Mode::Order] {
        let tx = store.begin(mode).await.expect("begun");
        let call = async {
            tx.commit().await?;
            std::future::pending::<Result<()>>().await
        };

        let ended = sql::store::within(limit, call).await;

        let error = ended.expect_err("it never ends");
        let is_open = matches!(error, StoreError::OutcomeUnknown(_));
        assert_eq!(is_open, mode == Mode::Order, "{error:?}");
    }
}

#[tokio::test]
async fn r2_a_file_that_is_gone_is_named_and_used_again_when_it_is_back() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("a.db");
    let store = opened(directory.path()).await;
    add(&store, 1).await.expect("taken");
    let away = directory.path().join("away.db");
    fs::rename(&file, &away).expect("moved");
    let error = add(&store, 2).await.expect_err("nobody would see it");
    assert!(error.is_transient(), "{error:?}");
    let error = store.now().await.expect_err("it is gone").to_string();
    assert!(!file.exists(), "no new one is made: {error}");
    fs::rename(&away, &file).expect("moved back");
    add(&store, 2).await.expect("taken");
}

/// Keeps this process from writing to a file, whoever it runs as; tells whether that worked.
fn forbid(file: &Path, forbid: bool) -> bool {
    let change = if forbid { "+i" } else { "-i" };
    if rustix::process::geteuid().is_root() {
        let done = std::process::Command::new("chattr")
            .arg(change)
            .arg(file)
            .output();
        done.is_ok_and(|done| done.status.success())
    } else {
        use std::os::unix::fs::PermissionsExt;
        let mode = if forbid { 0o400 } else { 0o600 };
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).is_ok()
    }
}

#[tokio::test]
async fn r2_a_file_that_becomes_writable_again_is_written_at_the_next_call() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("a.db");
    let other = opened(directory.path()).await;
    add(&other, 1).await.expect("taken");
    if !forbid(&file, true) {
        eprintln!("nothing was tried: this file system knows no `chattr +i`");
        return;
    }
    // Opened while it can only be read, as by a watcher that starts then.
    let store = opened(directory.path()).await;
    let refused = [add(&store, 2).await, add(&store, 3).await];
    let tried = store.try_writing().await;
    let readable = store.now().await;
    assert!(forbid(&file, false));
    for refused in refused
        .into_iter()
        .map(|added| added.map(drop))
        .chain([tried])
    {
        let StoreError::Unavailable(why) = refused.expect_err("it cannot be written") else {
            panic!("it may heal");
        };
        let why = why.to_string();
        assert!(why.contains("a.db") && why.contains('`'), "{why}");
    }
    readable.expect("it can be read");
    store.try_writing().await.expect("written");
    add(&store, 2).await.expect("taken");
    add(&store, 3).await.expect("taken");
}

#[tokio::test]
async fn r5_the_reset_of_passwords_stands_back_as_every_order_does() {
    let directory = tempfile::tempdir().expect("directory");
    let store = opened(directory.path()).await;
    let seen = store.secrets().await.expect("told");
    let _ahead = store.turns.of(Mode::Order).await.expect("a turn");
    tokio::time::pause();

    let refused = store.reset_secrets(&seen).await;

    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
}
