mod faults;

use std::{collections::BTreeSet, io::Cursor, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use expiry_core::{
    Access, EnforcementStore, MacAddr, NewRouter, NewSubscriber, RouterAddress, RouterId, Service,
    Subscriber, SubscriberId, SystemClock, TenantId, Username, testing::MemoryStore,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    args::{ExportArgs, SheetFormat},
    commands::subscriber::export,
    error,
};

/// A store with the tenants `cafe` and `hotel`, and a router of each and of nobody.
struct World {
    store: MemoryStore,
    cafe: TenantId,
    routers: [RouterId; 3],
}

impl World {
    async fn new() -> Self {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let cafe = store.add_tenant("cafe", "Café").await.expect("made").id;
        let hotel = store.add_tenant("hotel", "Hotel").await.expect("made").id;
        let mut routers = Vec::new();
        for (name, tenant) in [
            ("tower", None),
            ("bar", Some(cafe)),
            ("=lobby", Some(hotel)),
        ] {
            let address = RouterAddress {
                host: format!("{name}.example"),
                port: 8728,
                username: "api".into(),
            };
            let new = NewRouter {
                name: name.into(),
                tenant,
                address,
                password: "not a secret".into(),
            };
            routers.push(store.add_router(&new).await.expect("made").id);
        }
        let routers = routers.try_into().expect("three");
        Self {
            store,
            cafe,
            routers,
        }
    }

    async fn add(&self, name: &str, access: Access, devices: &[u8]) -> Subscriber {
        let new = NewSubscriber {
            tenant: None,
            username: username(name),
            service: Service::Hotspot,
            access,
            router: None,
            devices: devices.iter().copied().map(mac).collect(),
        };
        self.store.add_subscriber(&new).await.expect("made")
    }

    async fn run(
        &self,
        args: &ImportArgs,
        text: &[u8],
        json: bool,
    ) -> (Result<(), CliError>, String) {
        let mut bytes = Vec::new();
        let mut out = Output::new(&mut bytes, json);
        let done = run(args, &self.store, Cursor::new(text.to_vec()), &mut out).await;
        (done, String::from_utf8(bytes).expect("text"))
    }

    async fn taken(&self, text: &str) -> Value {
        let (done, printed) = self.run(&stdin(), text.as_bytes(), true).await;
        if let Err(error) = done {
            panic!("{error}: {printed}");
        }
        serde_json::from_str(&printed).expect("JSON")
    }

    /// The faults of a list that must not be taken.
    async fn refused(&self, text: impl AsRef<[u8]>) -> Vec<String> {
        let before = self.all().await;
        let (done, printed) = self.run(&stdin(), text.as_ref(), false).await;
        let error = done.expect_err("refused");
        assert_eq!(error.exit_code(), error::FAILED);
        assert_eq!(printed, "");
        assert_eq!(self.all().await, before, "nothing is half done");
        error.details()
    }

    async fn all(&self) -> Vec<Subscriber> {
        let mut all = Vec::new();
        let tenants = self.store.tenants().await.expect("listed");
        for tenant in std::iter::once(None).chain(tenants.iter().map(|tenant| Some(tenant.id))) {
            let page = self
                .store
                .subscribers(tenant, SubscriberId(0), u32::MAX)
                .await;
            all.extend(page.expect("listed"));
        }
        all
    }

    async fn found(&self, tenant: Option<TenantId>, name: &str) -> Subscriber {
        let found = self.store.subscriber(tenant, &username(name)).await;
        found.expect("asked").expect("it exists")
    }

    async fn exported(&self, format: SheetFormat) -> String {
        let args = ExportArgs {
            tenant: None,
            all_tenants: true,
            format: Some(format),
        };
        let mut bytes = Vec::new();
        let done = export::run(&args, &self.store, &mut Output::new(&mut bytes, false)).await;
        done.expect("exported");
        String::from_utf8(bytes).expect("text")
    }
}

fn shortening() -> ImportArgs {
    ImportArgs {
        shorten: true,
        ..stdin()
    }
}

fn stdin() -> ImportArgs {
    ImportArgs {
        file: "-".into(),
        format: None,
        dry_run: false,
        shorten: false,
    }
}

fn username(name: &str) -> Username {
    name.parse().expect("a name")
}

fn mac(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, last])
}

fn at(seconds: i64) -> Access {
    DateTime::from_timestamp(seconds, 0).map_or(Access::None, Access::Until)
}

#[tokio::test]
async fn a_list_is_taken_from_csv_and_from_json_lines() {
    let csv = "\u{feff}router,expires_at,tenant,username,devices\r\n\
        bar,2027-01-15T11:00:00+03:00,cafe,+255700000001,02:00:00:00:00:01; 0200.0000.0002;\r\n\
        \r\n\
        ,,,,\r\n\
        ,forever,,\"a \"\"b\"\", c\",\r\n\
        ,none,hotel,'=1,\r\n";
    let jsonl = r#"
        {"username":"+255700000001","expires_at":"2027-01-15T08:00:00Z","router":"bar","tenant":"cafe","devices":["02-00-00-00-00-01","02:00:00:00:00:02"]}
        {"username":"a \"b\", c","expires_at":"forever","devices":null,"router":null,"service":"hotspot"}
        {"username":"=1","tenant":"hotel","expires_at":null,"devices":"","router":""}"#;
    for list in [csv, jsonl] {
        let world = World::new().await;

        let report = world.taken(list).await;

        let expected = json!({
            "made": 3, "without_access": 1, "updated": 0, "unchanged": 0,
            "ended": 0, "shortened": 0, "losses": [], "dry_run": false,
        });
        assert_eq!(report, expected);
        let first = world.found(Some(world.cafe), "255700000001").await;
        assert_eq!(first.access, at(1_800_000_000));
        assert_eq!(first.router, Some(world.routers[1]));
        assert_eq!(first.devices, BTreeSet::from([mac(1), mac(2)]));
        let second = world.found(None, "a \"b\", c").await;
        assert_eq!((second.access, second.router), (Access::Forever, None));
        assert_eq!(world.all().await[2].username, username("=1"));
        for other in [csv, jsonl] {
            assert_eq!(world.taken(other).await["unchanged"], 3);
        }
    }
}

#[tokio::test]
async fn what_has_no_column_stays() {
    let world = World::new().await;
    world
        .taken("username,expires_at,devices,router\njoe,none,020000000001,tower")
        .await;

    let report = world
        .taken("username;expires_at\njoe;forever\nann;forever\n")
        .await;

    assert_eq!(
        (&report["updated"], &report["made"]),
        (&json!(1), &json!(1))
    );
    let joe = world.found(None, "joe").await;
    assert_eq!(joe.router, Some(world.routers[0]));
    assert_eq!(joe.devices, BTreeSet::from([mac(1)]));
    world
        .taken("{\"username\":\"joe\",\"expires_at\":\"forever\",\"devices\":[]}")
        .await;
    assert!(world.found(None, "joe").await.devices.is_empty());
}

#[tokio::test]
async fn a_dry_run_checks_all_of_it_and_changes_nothing() {
    let world = World::new().await;
    let owner = world.add("owner", Access::Forever, &[1]).await;
    let dry = ImportArgs {
        dry_run: true,
        shorten: true,
        ..stdin()
    };
    let good = b"username,expires_at\njoe,forever\nowner,2000-01-01T00:00:00Z\n";
    let (done, printed) = world.run(&dry, good, false).await;
    done.expect("checked");
    let expected = "would be made 1, updated 1, unchanged 0\n\
                    takes time away from 1 subscriber: 1 would have no access any more, 0 would \
                    have it for less time\n  \
                    owner: was without end, now until 2000-01-01 00:00:00 UTC\n";
    assert_eq!(printed, expected);
    let bad = b"username,expires_at,devices\njoe,forever,020000000001\n";
    let (done, _) = world.run(&dry, bad, false).await;
    assert!(done.is_err());
    assert_eq!(world.all().await, [owner]);
}

#[tokio::test]
async fn r3_last_weeks_list_once_more_cuts_nobody() {
    let world = World::new().await;
    let now = world.store.now().await.expect("time");
    let hours = |hours| Access::Until(now + TimeDelta::hours(hours)).in_micros();
    world.add("ann", hours(700), &[]).await;
    world.add("joe", Access::Forever, &[]).await;
    let last_week = "username,expires_at\nnew,forever\nann,2020-01-01T00:00:00Z\n\
                     joe,2999-01-01T00:00:00Z\n";

    let refused = world.refused(last_week).await;

    assert_eq!(refused.len(), 2, "{refused:?}");
    let ann = "stdin:3:5: expires_at: `ann` has access until ";
    let end = "and the list ends it at 2020-01-01T00:00:00Z: give --shorten";
    assert!(
        refused[0].starts_with(ann) && refused[0].contains(end),
        "{refused:?}"
    );
    let joe = "stdin:4:5: expires_at: `joe` has access without end, ";
    assert!(refused[1].starts_with(joe), "{refused:?}");
    let (done, printed) = world.run(&shortening(), last_week.as_bytes(), true).await;
    done.expect("taken");
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(
        (&report["ended"], &report["shortened"]),
        (&json!(1), &json!(1))
    );
    let joe = json!({
        "username": "joe", "tenant": null, "from": null, "to": "2999-01-01T00:00:00Z",
    });
    assert_eq!(report["losses"][1], joe);
}

#[tokio::test]
async fn who_is_made_without_access_is_counted_apart() {
    let world = World::new().await;
    let list = b"username,expires_at\njoe,forever\nann,none\n";
    let (done, printed) = world.run(&stdin(), list, false).await;
    done.expect("done");
    let expected = "made 2, 1 of them without access, updated 0, unchanged 0\n";
    assert_eq!(printed, expected);
    // Who was there already, without access, is not made again.
    let (done, printed) = world
        .run(
            &stdin(),
            b"username\tdevices\texpires_at\nann\t02:00:00:00:00:01\t\n",
            true,
        )
        .await;
    done.expect("done");
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(
        report,
        json!({
            "made": 0, "without_access": 0, "updated": 1, "unchanged": 0,
            "ended": 0, "shortened": 0, "losses": [], "dry_run": false,
        })
    );
}

#[tokio::test]
async fn the_format_is_what_was_said_or_what_the_name_ends_with() {
    let world = World::new().await;
    let home = tempfile::tempdir().expect("a directory");
    let line = r#"{"username":"joe","expires_at":"forever"}"#;
    let file = |name: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, line).expect("written");
        ImportArgs {
            file: path,
            ..stdin()
        }
    };
    for name in ["a.jsonl", "a.NDJSON", "a.txt"] {
        let (done, _) = world.run(&file(name), b"", false).await;
        done.expect(name);
    }
    let (done, _) = world.run(&file("a.csv"), b"", false).await;
    let error = done.expect_err("no CSV");
    assert!(
        error
            .details()
            .iter()
            .any(|line| line.contains("a.csv:1:1: this is JSON"))
    );
    let said = ImportArgs {
        format: Some(SheetFormat::Jsonl),
        ..file("a.csv")
    };
    world
        .run(&said, b"", false)
        .await
        .0
        .expect("as it was said");
    let absent = ImportArgs {
        file: home.path().join("absent.csv"),
        ..stdin()
    };
    let error = world.run(&absent, b"", false).await.0.expect_err("refused");
    assert_eq!(error.exit_code(), error::USAGE);
    assert!(error.to_string().contains("absent.csv"));
}

#[tokio::test]
async fn a_binding_to_a_removed_router_comes_back_where_it_stands_and_nowhere_else() {
    let world = World::new().await;
    world
        .taken("username,expires_at,router\njoe,forever,tower\n")
        .await;
    world
        .store
        .remove_router(world.routers[0], true)
        .await
        .expect("removed");
    let csv = world.exported(SheetFormat::Csv).await;

    assert!(
        csv.contains(&format!(",(removed {}),", world.routers[0])),
        "{csv}"
    );
    assert_eq!(world.taken(&csv).await["unchanged"], 1);
    let faults = World::new()
        .await
        .refused(csv.replace("(removed ", "(removed 9"))
        .await;
    assert!(faults[0].contains("there no longer"), "{faults:?}");
}

#[tokio::test]
async fn a_long_list_is_exported_page_by_page_in_the_order_of_the_file() {
    let world = World::new().await;
    let lines: Vec<_> = (0..2_500).map(|n| format!("s{n},forever")).collect();
    let list = format!("username,expires_at\n{}\n", lines.join("\n"));
    world.taken(&list).await;

    let jsonl = world.exported(SheetFormat::Jsonl).await;

    let names: Vec<_> = jsonl
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["username"].clone())
        .collect();
    let expected: Vec<_> = (0..2_500).map(|n| json!(format!("s{n}"))).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn one_tenant_is_exported_by_its_name() {
    let world = World::new().await;
    world
        .taken("username,expires_at,tenant\njoe,forever,\nann,none,cafe\neve,forever,hotel\n")
        .await;
    let of = |tenant: &str| ExportArgs {
        tenant: Some(tenant.into()),
        all_tenants: false,
        format: None,
    };
    let mut bytes = Vec::new();
    let mut out = Output::new(&mut bytes, false);
    export::run(&of("cafe"), &world.store, &mut out)
        .await
        .expect("exported");
    let expected = "username,expires_at,devices,tenant,router,service\nann,none,,cafe,,hotspot\n";
    assert_eq!(String::from_utf8(bytes).expect("text"), expected);
    let mut bytes = Vec::new();
    let mut out = Output::new(&mut bytes, false);
    let unknown = export::run(&of("bar"), &world.store, &mut out).await;
    assert_eq!(unknown.expect_err("refused").exit_code(), error::USAGE);
}

#[derive(Clone, Debug)]
struct Drawn {
    name: String,
    access: Access,
    place: usize,
    bound: bool,
    devices: u8,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let name =
        "[0-9]{1,12}|[+='@-][a-z0-9]{1,6}|[a-zé,;\"' ]{1,8}|[0-9][.][0-9]E[+][0-9]{1,2}|\\PC{1,6}";
    let instant = (-62_135_596_800..=253_402_300_798i64, 0..1_000_000_000u32);
    let until = instant.prop_filter_map("an instant", |(seconds, nanos)| {
        DateTime::<Utc>::from_timestamp(seconds, nanos).map(Access::Until)
    });
    let access = prop_oneof![Just(Access::None), Just(Access::Forever), until];
    (name, access, 0..3usize, any::<bool>(), 0..3u8).prop_map(
        |(name, access, place, bound, devices)| Drawn {
            name,
            access,
            place,
            bound,
            devices,
        },
    )
}

async fn fill(world: &World, drawn: &[Drawn]) {
    let tenants = world.store.tenants().await.expect("listed");
    let mut next = 0;
    for drawn in drawn {
        let Ok(username) = drawn.name.parse::<Username>() else {
            continue;
        };
        let devices = (0..drawn.devices).map(|_| {
            next += 1;
            mac(next)
        });
        let new = NewSubscriber {
            tenant: drawn.place.checked_sub(1).map(|at| tenants[at].id),
            username,
            service: Service::Hotspot,
            access: drawn.access.in_micros(),
            router: drawn.bound.then_some(world.routers[drawn.place]),
            devices: devices.collect(),
        };
        // A name may be drawn twice.
        drop(world.store.add_subscriber(&new).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_exported_comes_back_as_it_was(drawn in prop::collection::vec(drawn(), 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let world = World::new().await;
            fill(&world, &drawn).await;
            let before = world.all().await;
            for format in [SheetFormat::Csv, SheetFormat::Jsonl] {
                let list = world.exported(format).await;
                let said = ImportArgs { format: Some(format), ..stdin() };

                let (done, printed) = world.run(&said, list.as_bytes(), true).await;
                done.expect("taken");
                let report: Value = serde_json::from_str(&printed).expect("JSON");
                assert_eq!(report["unchanged"], before.len(), "{list}");
                assert_eq!(world.all().await, before);

                let other = World::new().await;
                other.run(&said, list.as_bytes(), true).await.0.expect("taken");
                assert_eq!(other.exported(format).await, list);
            }
        });
    }
}

#[tokio::test]
async fn r2_a_list_ends_access_and_r3_a_list_pays() {
    let world = World::new().await;
    let now = world.store.now().await.expect("time");
    world
        .add("joe", Access::Until(now + TimeDelta::hours(1)), &[1])
        .await;
    let list = b"username,expires_at\njoe,2020-01-01T00:00:00Z\n";
    let (done, _) = world.run(&shortening(), list, false).await;
    done.expect("taken");
    assert_eq!(world.store.rows().len(), 1, "owed on the one router");
    world.taken("username,expires_at\njoe,forever\n").await;
    assert_eq!(world.store.rows().len(), 0);
}
