use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    sync::Arc,
};

use expiry_core::{StoreError, SubscriberId, Username};
use expiry_store::{Migrated, StoreConfig};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tokio::task::JoinSet;

use crate::setup::{Home, add_router, postgres, sqlite};

/// The version of the schema that this program needs.
fn needed() -> i64 {
    let any = StoreConfig::parse("sqlite:a.db").expect("valid");
    expiry_store::schema_version(&any)
}

/// Runs statements behind the store's back.
async fn run(home: &Home, statement: &'static str) {
    run_text(home, statement.into()).await;
}

async fn run_text(home: &Home, statements: String) {
    let statement = AssertSqlSafe(statements);
    if home.url.starts_with("postgres") {
        let mut conn = PgConnection::connect(&home.url).await.expect("connected");
        let search = "SET search_path = expiry";
        conn.execute(search).await.expect("set");
        conn.execute(statement).await.expect("done");
        conn.close().await.expect("closed");
    } else {
        let url = format!("{}?mode=rwc", home.url);
        let mut conn = SqliteConnection::connect(&url).await.expect("connected");
        conn.execute(statement).await.expect("done");
        conn.close().await.expect("closed");
    }
}

/// Returns what an error says, with its causes.
fn chain(error: &StoreError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

async fn refusal(home: &Home) -> StoreError {
    let opened = expiry_store::open(&home.config).await;
    opened.map(drop).expect_err("refused")
}

async fn many_first_opens(home: Home) {
    let config = Arc::new(home.config.clone());
    let mut opens = JoinSet::new();
    for _ in 0..12 {
        let config = Arc::clone(&config);
        opens.spawn(async move { expiry_store::open(&config).await.map(drop) });
    }
    while let Some(opened) = opens.join_next().await {
        opened.expect("no panic").expect("opened");
    }
    add_router(&*home.open().await, "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_opens_of_a_sqlite_file_all_succeed() {
    many_first_opens(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_opens_of_a_postgres_database_all_succeed() {
    many_first_opens(postgres().await).await;
}

async fn another_version(home: Home) {
    drop(home.open().await);
    let now = Migrated {
        from: needed(),
        to: needed(),
    };
    assert_eq!(
        expiry_store::migrate(&home.config).await.expect("done"),
        now
    );

    let newer = format!(
        "INSERT INTO expiry_schema (version) VALUES ({})",
        needed() + 1
    );
    run_text(&home, newer).await;
    for error in [
        refusal(&home).await,
        expiry_store::migrate(&home.config)
            .await
            .expect_err("refused"),
    ] {
        assert!(
            matches!(
                error,
                StoreError::SchemaTooNew { found, supported }
                    if found == needed() + 1 && supported == needed()
            ),
            "{error}"
        );
    }

    run(&home, "UPDATE expiry_schema SET version = 0").await;
    let error = refusal(&home).await;
    assert!(
        matches!(
            error,
            StoreError::SchemaTooOld { found: 0, needed } if needed == self::needed()
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_sqlite_file_of_another_version_is_refused() {
    another_version(sqlite()).await;
}

#[tokio::test]
async fn a_postgres_database_of_another_version_is_refused() {
    another_version(postgres().await).await;
}

/// The first schema that was ever made, with what somebody has put into it.
async fn from_the_first(home: Home, first: &'static str) {
    if home.url.starts_with("postgres") {
        let mut conn = PgConnection::connect(&home.url).await.expect("connected");
        let schema = "CREATE SCHEMA expiry";
        conn.execute(schema).await.expect("made");
    }
    run(&home, first).await;
    run(&home, "INSERT INTO expiry_schema (version) VALUES (1)").await;
    let watcher = "INSERT INTO watcher (id, heartbeat_at, ttl_us, braked)
                   VALUES ('00000000-0000-0000-0000-000000000001', 1, 1, FALSE)";
    run(&home, watcher).await;
    let subscriber = "INSERT INTO subscriber
                      (tenant_id, username, service, access, revision, macs)
                      VALUES (0, 'corp\\xbeth', 'hotspot', 'none', 1, '[]'),
                             (0, 'corp\\joe', 'hotspot', 'none', 1, '[]')";
    run(&home, subscriber).await;
    let error = refusal(&home).await;
    let is_told = matches!(error, StoreError::SchemaTooOld { found: 1, .. });
    assert!(is_told, "{error}");

    let migrated = expiry_store::migrate(&home.config).await.expect("done");

    let expected = Migrated {
        from: 1,
        to: needed(),
    };
    assert_eq!(migrated, expected);
    let store = home.open().await;
    add_router(&*store, "a").await;
    let names: Vec<_> = store
        .subscribers(None, SubscriberId(0), 10)
        .await
        .expect("subscribers")
        .into_iter()
        .map(|found| found.username)
        .collect();
    let on_router: Vec<_> = names.iter().flat_map(Username::on_router).collect();
    let meant = [br"corp\xbeth".to_vec(), br"corp\joe".to_vec()];
    assert_eq!(on_router, meant, "a name means what it meant");
    assert_eq!(names[0].as_str(), r"corp\x5cxbeth");
    let status = store.status(0).await.expect("status");
    assert_eq!(status.watchers[0].interval, None);
    let counts = store.counts().await.expect("counts");
    assert_eq!(counts[0].requests.count(), 0);
}

#[tokio::test]
async fn a_sqlite_file_of_the_first_version_is_brought_up() {
    let first = include_str!("../../../expiry-store/migrations/sqlite/0001_init.sql");
    from_the_first(sqlite(), first).await;
}

#[tokio::test]
async fn a_postgres_database_of_the_first_version_is_brought_up() {
    let first = include_str!("../../../expiry-store/migrations/postgres/0001_init.sql");
    from_the_first(postgres().await, first).await;
}

/// An early build made the same version without some of the columns.
async fn from_an_early_build(home: Home, steps: [&str; 2], names: &[&str]) {
    if home.url.starts_with("postgres") {
        let mut conn = PgConnection::connect(&home.url).await.expect("connected");
        let schema = "CREATE SCHEMA expiry";
        conn.execute(schema).await.expect("made");
    }
    let early: String = steps[0]
        .lines()
        .filter(|line| !line.contains("skew_us") && !line.contains("    said_at"))
        .map(|line| {
            line.replace("board TEXT,", "board TEXT")
                .replace("way_in TEXT,", "way_in INT,")
        })
        .fold(String::new(), |text, line| text + &line + "\n");
    run_text(&home, early).await;
    run(&home, "INSERT INTO expiry_schema (version) VALUES (1)").await;
    for version in [1, 2] {
        for error in [
            refusal(&home).await,
            expiry_store::migrate(&home.config)
                .await
                .expect_err("refused"),
        ] {
            assert!(matches!(error, StoreError::SchemaUnknown(_)), "{error:?}");
            let text = error.to_string();
            let told = names.iter().all(|name| text.contains(name));
            assert!(
                told && text.contains(&format!("version {version},")),
                "{text}"
            );
        }
        if version == 1 {
            run_text(&home, steps[1].into()).await;
            run(&home, "INSERT INTO expiry_schema (version) VALUES (2)").await;
        }
    }
}

#[tokio::test]
async fn a_sqlite_file_of_an_early_build_is_named_as_such() {
    let steps = [
        include_str!("../../../expiry-store/migrations/sqlite/0001_init.sql"),
        include_str!("../../../expiry-store/migrations/sqlite/0002_counts.sql"),
    ];
    let names = [
        "no `router.skew_us integer`",
        "no `enforcement.way_in text`",
    ];
    from_an_early_build(sqlite(), steps, &names).await;
}

#[tokio::test]
async fn a_postgres_database_of_an_early_build_is_named_as_such() {
    let steps = [
        include_str!("../../../expiry-store/migrations/postgres/0001_init.sql"),
        include_str!("../../../expiry-store/migrations/postgres/0002_counts.sql"),
    ];
    let names = ["no `router.skew_us bigint`", "no `enforcement.way_in text`"];
    from_an_early_build(postgres().await, steps, &names).await;
}

/// What a release makes is what its `.shape` says, to the last column.
#[tokio::test]
async fn each_column_stands_in_the_shape_of_the_last_step() {
    let home = postgres().await;
    drop(home.open().await);
    let mut conn = PgConnection::connect(&home.url).await.expect("connected");
    let columns: BTreeSet<String> = sqlx::query_scalar(
        "SELECT table_name || '.' || column_name FROM information_schema.columns
         WHERE table_schema = 'expiry'",
    )
    .fetch_all(&mut conn)
    .await
    .map(|names| names.into_iter().collect())
    .expect("listed");
    let shape = format!("postgres/{:04}_", needed());
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../expiry-store/migrations");
    let last = fs::read_dir(migrations.join("postgres"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| {
            path.to_string_lossy().contains(&shape) && path.extension() == Some("shape".as_ref())
        });
    let text = fs::read_to_string(last.expect("a shape")).expect("read");
    let listed: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with("unique "))
        .filter_map(|line| Some(line.split_once(' ')?.0.into()))
        .collect();
    assert_eq!(columns, listed);
}

#[tokio::test]
async fn a_column_that_goes_missing_is_not_called_unavailable() {
    for home in [sqlite(), postgres().await] {
        let store = home.open().await;
        run(&home, "ALTER TABLE router RENAME COLUMN skew_us TO skewed").await;
        let error = store.status(1).await.expect_err("no such column");
        assert!(matches!(error, StoreError::SchemaUnknown(_)), "{error:?}");
        assert!(error.to_string().contains("skew_us"), "{error}");
    }
}

#[tokio::test]
async fn a_role_without_rights_is_told_the_grant() {
    let home = postgres().await;
    drop(home.open().await);
    let (database, _) = home.url.split_once('?').expect("a socket");
    let (_, database) = database.rsplit_once('/').expect("a name");
    let role = format!("{database}_guest");
    run_text(
        &home,
        format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA expiry TO {role}"),
    )
    .await;
    let mut guest = Home::new(|_| home.url.replace("//expiry@", &format!("//{role}@")));
    guest.config.key_file.clone_from(&home.config.key_file);
    let error = refusal(&guest).await;
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("GRANT SELECT"), "{error}");
}

#[tokio::test]
async fn tables_of_another_program_are_refused_and_left_alone() {
    let file = sqlite();
    run(&file, "CREATE TABLE theirs (id INTEGER)").await;
    let server = postgres().await;
    let mut conn = PgConnection::connect(&server.url).await.expect("connected");
    let schema = "CREATE SCHEMA expiry";
    conn.execute(schema).await.expect("made");
    run(&server, "CREATE TABLE theirs (id INTEGER)").await;
    for home in [file, server] {
        let error = refusal(&home).await.to_string();
        assert!(error.contains("another program"), "{error}");
        run(&home, "INSERT INTO theirs VALUES (1)").await;
    }
}

#[tokio::test]
async fn an_empty_database_is_prepared_by_migrating_too() {
    for home in [sqlite(), postgres().await] {
        let migrated = expiry_store::migrate(&home.config).await.expect("done");
        assert_eq!(
            migrated,
            Migrated {
                from: 0,
                to: needed()
            }
        );
        home.open().await;
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_which_and_why() {
    let home = sqlite();
    fs::write(home.path("notes.txt"), "this is no database, only a text").expect("written");
    let notes = home.path("notes.txt").display().to_string();
    let folder = home.path("").display().to_string();
    let missing = postgres().await.url.replace("/test", "/absent");
    for (url, place, reason) in [
        (format!("sqlite://{notes}"), "notes.txt", "not a database"),
        (
            format!("sqlite://{notes}/a.db"),
            "notes.txt",
            "is no directory",
        ),
        (
            format!("sqlite://{folder}"),
            folder.as_str(),
            "unable to open",
        ),
        (missing, "/absent", "does not exist"),
    ] {
        let config = StoreConfig::parse(&url).expect("valid");
        let error = expiry_store::open(&config).await.map(drop);
        let error = error.expect_err("refused");
        assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(place) && text.contains(reason), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_nothing_forbids_to_open_may_be_waited_for() {
    let home = sqlite();
    drop(home.open().await);
    for other in ["-wal", "-shm"] {
        let beside = home.path(&format!("expiry.db{other}"));
        if beside.exists() {
            fs::remove_file(&beside).expect("removed");
        }
        fs::create_dir(&beside).expect("made");
    }
    let error = refusal(&home).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_path_that_was_mistyped_makes_nothing() {
    let mut home = sqlite();
    for (path, make, words) in [
        ("new/deep/expiry.db", true, "there is no directory"),
        ("new/deep/expiry.db", false, "there is no directory"),
        ("other.db", false, "nothing is there yet"),
    ] {
        let file = home.path(path);
        home.config = StoreConfig::parse(&format!("sqlite:{}", file.display())).expect("valid");
        home.config.make = make;
        let error = expiry_store::open(&home.config)
            .await
            .err()
            .expect("refused");
        let (is_transient, told) = (error.is_transient(), chain(&error));
        assert!(told.contains(words), "{path}: {told}");
        // A disk may be mounted late, and whoever serves waits for it.
        assert_eq!(is_transient, make, "{path}: {told}");
        assert!(!file.exists() && !home.path("new").exists());
    }
}

#[tokio::test]
async fn an_empty_server_database_is_not_prepared_by_who_only_reads() {
    let mut home = postgres().await;
    home.config.make = false;
    let error = expiry_store::open(&home.config)
        .await
        .err()
        .expect("refused");
    assert!(chain(&error).contains("nothing is there yet"), "{error:?}");
    home.config.make = true;
    home.open().await;
    home.config.make = false;
    home.open().await;
}

#[tokio::test]
async fn a_link_to_a_database_that_is_not_there_yet_makes_it_where_it_points() {
    let mut home = sqlite();
    symlink(home.path("real.db"), home.path("link.db")).expect("linked");
    let link = format!("sqlite:{}", home.path("link.db").display());
    home.config = StoreConfig::parse(&link).expect("valid");
    home.open().await;
    assert!(home.path("real.db").exists());
}

#[tokio::test]
async fn r11_a_database_that_is_made_is_its_owners_alone() {
    let home = sqlite();
    home.open().await;
    let made = fs::metadata(home.path("expiry.db")).expect("it is there");
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_root_makes_belongs_to_whom_the_directory_belongs_to() {
    // Nobody else may give files away.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = sqlite();
    let directory = home.path("");
    chown(&directory, Some(4711), Some(4712)).expect("changed");
    let store = home.open().await;
    add_router(&*store, "a").await;
    for name in ["expiry.db", "expiry.db-wal", "expiry.db-shm", "test.key"] {
        let made = fs::metadata(home.path(name)).expect(name);
        assert_eq!((made.uid(), made.gid()), (4711, 4712), "{name}");
    }
}

#[tokio::test]
async fn damage_is_named_by_table_column_and_row() {
    for home in [sqlite(), postgres().await] {
        let store = home.open().await;
        add_router(&*store, "a").await;
        run(&home, "UPDATE router SET port = 99999").await;
        let error = store.routers().await.expect_err("damaged");
        assert!(
            matches!(
                error,
                StoreError::Corrupt {
                    table: "router",
                    column: "port",
                    ..
                }
            ),
            "{error:?}"
        );
    }
}
