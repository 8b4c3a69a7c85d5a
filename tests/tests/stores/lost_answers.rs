//! An order whose answer is lost on the way from the server may have been carried out.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use expiry_core::{Access, AccessChange, Store, StoreError, Subscriber};
use expiry_tests::pg;
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::setup::{Home, add_subscriber};

const SOCKET: &str = ".s.PGSQL.5432";

/// A way to a server that loses the answer to COMMIT once it is told to, and the connection with it.
struct Way {
    directory: TempDir,
    loses: Arc<AtomicBool>,
}

impl Way {
    fn to(url: &str) -> Self {
        let (_, server) = url.split_once("?host=").expect("a socket");
        let server = PathBuf::from(server).join(SOCKET);
        let directory = tempfile::tempdir().expect("temporary directory");
        let listener = UnixListener::bind(directory.path().join(SOCKET)).expect("bound");
        let loses = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&loses);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("connected");
                tokio::spawn(carry(client, server, Arc::clone(&told)));
            }
        });
        Self { directory, loses }
    }

    fn url(&self, url: &str) -> String {
        let (database, _) = url.split_once('?').expect("a socket");
        format!("{database}?host={}", self.directory.path().display())
    }
}

/// Carries what is said both ways, until one side leaves or an answer is lost.
async fn carry(client: UnixStream, server: UnixStream, loses: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_lost = AtomicBool::new(false);
    let asks = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let length = from_client.read(&mut bytes).await?;
            let said = &bytes[..length];
            let commits = said.windows(6).any(|word| word == b"COMMIT");
            if commits && loses.load(Ordering::Relaxed) {
                is_lost.store(true, Ordering::Relaxed);
            }
            match length {
                0 => return io::Result::Ok(()),
                _ => to_server.write_all(said).await?,
            }
        }
    };
    let answers = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match from_server.read(&mut bytes).await? {
                0 => return io::Result::Ok(()),
                _ if is_lost.load(Ordering::Relaxed) => return Ok(()),
                length => to_client.write_all(&bytes[..length]).await?,
            }
        }
    };
    // Whoever leaves takes the other along.
    let _ended = tokio::select! {
        ended = asks => ended,
        ended = answers => ended,
    };
}

async fn pays(store: &dyn Store, who: &Subscriber) -> Result<Subscriber, StoreError> {
    let change = AccessChange::Set(Access::Forever);
    store.change_access(who.id, change).await
}

#[tokio::test]
async fn r3_an_order_whose_answer_is_lost_is_not_said_to_be_undone() {
    let url = pg::database().await;
    let way = Way::to(&url);
    let home = Home::new(|_| way.url(&url));
    let store = home.open().await;
    let now = store.now().await.expect("time");
    let joe = add_subscriber(&*store, "joe", now).await;
    way.loses.store(true, Ordering::Relaxed);

    let error = pays(&*store, &joe).await.expect_err("no answer");

    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error:?}");
    assert!(error.is_transient());
    let error = store.subscriber_by_id(joe.id).await;
    let error = error.expect_err("no answer to the end of reading");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    way.loses.store(false, Ordering::Relaxed);
    let found = store.subscriber_by_id(joe.id).await.expect("read");
    assert_eq!(found.expect("there").access, Access::Forever);
}

#[tokio::test]
async fn r3_an_order_that_the_server_refuses_at_its_end_was_not_carried_out() {
    let url = pg::database().await;
    let home = Home::new(|_| url);
    let store = home.open().await;
    let now = store.now().await.expect("time");
    let joe = add_subscriber(&*store, "joe", now).await;
    let mut conn = PgConnection::connect(&home.url).await.expect("connected");
    let refusal = "CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$;
         CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON expiry.subscriber
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()";
    conn.execute(refusal).await.expect("made");

    let error = pays(&*store, &joe).await.expect_err("refused");

    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let found = store.subscriber_by_id(joe.id).await.expect("read");
    assert_eq!(found.expect("there").access, joe.access);
}
