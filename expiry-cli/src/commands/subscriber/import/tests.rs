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
                password: "not a secret".into(),
            };
            let new = NewRouter {
                name: name.into(),
                tenant,
                address,
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

fn stdin() -> ImportArgs {
    ImportArgs {
        file: "-".into(),
        format: None,
        dry_run: false,
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

        let expected = json!({"made": 3, "updated": 0, "unchanged": 0, "dry_run": false});
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
async fn each_fault_of_a_line_is_named_with_its_place_and_what_would_be_right() {
    let world = World::new().await;
    world.add("owner", at(4_000_000_000), &[9]).await;
    let head = "username,expires_at,devices,tenant,router,service\n";
    let cases = [
        (",forever,,,,", "2:1: username: a username is not empty"),
        (
            "joe\u{7},forever,,,,",
            "2:1: username: username \"joe\\u{7}\"",
        ),
        (
            "2.557E+11,forever,,,,",
            "2:1: username: `2.557E+11` is a number as a spreadsheet writes it",
        ),
        (
            "\"255,700,000,001\",forever,,,,",
            "2:2: username: `255,700,000,001` is a number as",
        ),
        (
            "#NAME?,soon,,,,",
            "2:1: username: `#NAME?` is what a spreadsheet shows in place of a value",
        ),
        (
            "\u{202a}+255700000001\u{202c},forever,,,,",
            "2:1: username: username \"\\u{202a}+255700000001\\u{202c}\" has a character that is \
             not seen",
        ),
        (
            "é,2027-01-01 10:00:00,,,,",
            "2:3: expires_at: `2027-01-01 10:00:00`: it has no offset",
        ),
        (
            "joe,Forever,,,,",
            "2:5: expires_at: `Forever`: write `forever`",
        ),
        (
            "joe,2030-01-01,,,,",
            "2:5: expires_at: `2030-01-01`: it has no time of day: add",
        ),
        (
            "joe,soon,,,,",
            "2:5: expires_at: `soon`: not a time such as",
        ),
        (
            "joe,forever,x; 020000000001;y,,,",
            "2:13: devices: `x` is not a MAC address",
        ),
        (
            "joe,forever,x;020000000001; y,,,",
            "2:29: devices: `y` is not a MAC address",
        ),
        ("joe,forever,\"02;x\",,,", "2:17: devices: `x` is not"),
        (
            "joe,forever,\"020000000001, 02:00:00:00:00:02\",,,",
            "2:14: devices: `020000000001, 02:00:00:00:00:02` is several devices: separate",
        ),
        (
            "joe,forever,ff:ff:ff:ff:ff:ff,,,",
            "2:13: devices: `ff:ff:ff:ff:ff:ff` is not the MAC",
        ),
        (
            "joe,forever,020000000001;02:00:00:00:00:01,,,",
            "2:26: devices: device 02:00:00:00:00:01 is given twice",
        ),
        (
            "joe,forever,,caffe,,",
            "2:14: tenant: no tenant `caffe`; the nearest is `cafe`",
        ),
        (
            "joe,forever,,caffe,barr,",
            "2:20: router: no router `barr`; the nearest is `bar`",
        ),
        (
            "joe,forever,,,Towr,",
            "2:15: router: no router `Towr`; the nearest is `tower`",
        ),
        (
            "joe,forever,,,bar,",
            "2:15: router: router `bar` belongs to tenant `cafe`, the subscriber to no tenant; the nearest is `tower`",
        ),
        (
            "joe,forever,,hotel,bar,",
            "2:20: router: router `bar` belongs to tenant `cafe`, the subscriber to tenant `hotel`; the nearest is `=lobby`",
        ),
        (
            "joe,forever,,,,ppp",
            "2:16: service: service `ppp` cannot be enforced: only `hotspot`",
        ),
        ("joe,forever", "2:12: 2 fields where the header has 6"),
        ("joe,forever,,,,,,", "2:17: 8 fields where the header has 6"),
        ("joe,\"forever,,,,", "2:5: the quote is not closed"),
        (
            "owner,none,,,,",
            "2:7: expires_at: subscriber `owner` has or had access",
        ),
        (
            "joe,forever,020000000009,,,",
            "2:13: devices: device 02:00:00:00:00:09 belongs to subscriber `owner` already: take it from there",
        ),
        (
            "OWNER,forever,020000000009,,,",
            "2:15: devices: device 02:00:00:00:00:09 belongs to subscriber `owner` already, whose name differs by case",
        ),
        (
            "joe,forever,,,(removed 77),",
            "2:15: router: the router is there no longer",
        ),
    ];
    for (line, expected) in cases {
        let faults = world.refused(format!("{head}{line}\n")).await;
        assert!(
            faults
                .iter()
                .any(|fault| fault.starts_with(&format!("stdin:{expected}"))),
            "{line}: {expected}: {faults:#?}"
        );
    }
}

#[tokio::test]
async fn each_fault_of_a_file_is_named_with_its_place() {
    let world = World::new().await;
    let cases: [(&[u8], &str); 12] = [
        (b"", "1:1: it is empty: the first line names the columns"),
        (b"\n\n", "1:1: it is empty"),
        (
            b"name,expires_at\n",
            "1:1: there is no column `name`; the nearest is `username`",
        ),
        (
            b"zzz,expires_at\n",
            "1:1: there is no column `username`: the first line names",
        ),
        (
            b"username,expiry,expires_at\na,b,soon",
            "2:5: expires_at: `soon`",
        ),
        (
            b"username,username,expires_at\n",
            "1:10: column `username` is there twice",
        ),
        (b"username,expires_at,\n", "1:21: a column has no name"),
        (
            b"username,expires_at\rjoe,forever\r",
            "1:20: lines end with CR alone",
        ),
        (b"\xff\xfeu\0s\0", "1:1: the file is UTF-16"),
        (
            b"username,expires_at\njos\xe9,forever\n",
            "2:4: byte 4 is 0xE9, which is not UTF-8",
        ),
        (
            b"[{\"username\":\"a\"}]",
            "1:1: a JSON array: write one object on each line",
        ),
        (b"{\"username\":\"a\"}", "1:1: expires_at: it is missing"),
    ];
    for (file, expected) in cases {
        let faults = world.refused(file).await;
        assert!(
            faults
                .iter()
                .any(|fault| fault.starts_with(&format!("stdin:{expected}"))),
            "{expected}: {faults:#?}"
        );
    }
}

#[tokio::test]
async fn a_header_is_read_as_spreadsheets_write_it() {
    let world = World::new().await;
    let report = world
        .taken("sep=;\r\nUsername;EXPIRES_AT\r\njoe;forever\r\n")
        .await;
    assert_eq!(report["made"], 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_header_is_told_once_and_in_order() {
    let world = World::new().await;
    for (list, expected) in [
        (
            "255700000001,forever\n",
            &["stdin:1:1: the first line has no column names, such as `username,"][..],
        ),
        (
            "name,expires_at\n",
            &["stdin:1:1: there is no column `name`; the nearest is `username`"],
        ),
        (
            "username,zzz\n",
            &[
                "stdin:1:1: there is no column `expires_at`",
                "stdin:1:10: there is no column `zzz`",
            ],
        ),
    ] {
        let faults = world.refused(list).await;
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{faults:#?}");
        }
    }
}

#[tokio::test]
async fn what_a_spreadsheet_changed_is_refused_in_both_formats_unless_it_is_meant() {
    let world = World::new().await;
    let name = "2.557E+11";
    let json = |name: &str| json!({"username": name, "expires_at": "forever"}).to_string();
    for list in [json(name), format!("username,expires_at\n{name},forever\n")] {
        let faults = world.refused(&list).await;
        assert!(
            faults[0].contains("as a spreadsheet writes it"),
            "{faults:?}"
        );
    }
    world.taken(&json(&format!("'{name}"))).await;
    world.found(None, name).await;
}

#[tokio::test]
async fn faults_move_no_cursor_and_are_a_line_each() {
    let world = World::new().await;
    let tenant = "x\u{1b}[2J\nerror: y";
    let list = json!({"username": "joe", "expires_at": "forever", "tenant": tenant}).to_string();
    let faults = world.refused(&list).await;
    assert!(faults[0].contains(r"`x\u{1b}[2J\nerror: y`"), "{faults:?}");
    let (_, printed) = world.run(&stdin(), list.as_bytes(), true).await;
    let told: Value = serde_json::from_str(&printed).expect("JSON");
    let message = told["errors"][0]["message"].as_str().expect("text");
    assert!(message.contains(tenant), "{message}");
}

#[tokio::test]
async fn a_line_break_within_quotes_is_one_fault() {
    let world = World::new().await;
    let list = "username,expires_at\n\"joe\nthe \"\"second\"\"\",forever\nann,soon\n";
    let faults = world.refused(list).await;
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(
        faults[0].starts_with("stdin:2:1: the quote is not closed"),
        "{faults:#?}"
    );
    assert!(
        faults[1].starts_with("stdin:4:5: expires_at: `soon`"),
        "{faults:#?}"
    );

    let unclosed = "username,expires_at\njoe,\"forever\nann,\"soon\neve,later\n";
    let faults = world.refused(unclosed).await;
    let places: Vec<_> = faults.iter().map(|fault| &fault[..9]).collect();
    assert_eq!(
        places,
        ["stdin:2:5", "stdin:3:5", "stdin:4:5"],
        "{faults:#?}"
    );
}

#[tokio::test]
async fn lines_that_contradict_each_other_are_both_named() {
    let world = World::new().await;
    let list = "username,expires_at,devices,tenant\n\
        255700000001,forever,020000000001,\n\
        255700000001,forever,020000000001,cafe\n\
        +255700000001,forever,,\n\
        joe,forever,02-00-00-00-00-01,\n";
    let expected = [
        "stdin:4:1: username: username `255700000001` stands in line 2 already",
        "stdin:5:13: devices: device 02:00:00:00:00:01 stands in line 2 already",
    ];
    assert_eq!(world.refused(list).await, expected);
}

#[tokio::test]
async fn faults_of_the_file_and_of_the_database_are_told_together_in_order() {
    let world = World::new().await;
    world.add("owner", Access::Forever, &[1]).await;
    world.add("other", Access::Forever, &[2]).await;
    let list = "username,expires_at,devices\n\
        a,forever,020000000001\n\
        b,soon,\n\
        c,forever,020000000002\n\
        owner,never,\n";

    let faults = world.refused(list).await;

    let places: Vec<_> = faults.iter().map(|fault| &fault[..9]).collect();
    assert_eq!(
        places,
        ["stdin:3:3", "stdin:4:1", "stdin:5:7"],
        "{faults:?}"
    );
    assert!(faults[1].contains("`other`"), "{faults:?}");
}

#[tokio::test]
async fn fifty_faults_are_told_and_the_rest_is_counted() {
    let world = World::new().await;
    let lines: Vec<_> = (0..60).map(|n| format!("s{n},soon")).collect();
    let list = format!("username,expires_at\n{}\n", lines.join("\n"));

    let faults = world.refused(&list).await;
    assert_eq!(faults.len(), 51);
    assert_eq!(faults[50], "and 10 more");

    let (done, printed) = world.run(&stdin(), list.as_bytes(), true).await;
    let error = done.expect_err("refused");
    assert_eq!(
        error.to_string(),
        "60 faults in stdin: nothing was imported"
    );
    assert_eq!(error.details().len(), 0, "they were printed as JSON");
    let told: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(told["more"], 10);
    let expected = json!({
        "line": 2, "column": 4, "field": "expires_at",
        "message": "`soon`: not a time such as 2026-12-31T18:00:00Z; or `forever`, or `none`",
    });
    assert_eq!(told["errors"][0], expected);
}

#[tokio::test]
async fn a_dry_run_checks_all_of_it_and_changes_nothing() {
    let world = World::new().await;
    let owner = world.add("owner", Access::Forever, &[1]).await;
    let dry = ImportArgs {
        dry_run: true,
        ..stdin()
    };
    let good = b"username,expires_at\njoe,forever\nowner,2000-01-01T00:00:00Z\n";
    let (done, printed) = world.run(&dry, good, false).await;
    done.expect("checked");
    assert_eq!(printed, "would be made 1, updated 1, unchanged 0\n");
    let bad = b"username,expires_at,devices\njoe,forever,020000000001\n";
    let (done, _) = world.run(&dry, bad, false).await;
    assert!(done.is_err());
    assert_eq!(world.all().await, [owner]);
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
    world
        .taken("username,expires_at\njoe,2020-01-01T00:00:00Z\n")
        .await;
    assert_eq!(world.store.rows().len(), 1, "owed on the one router");
    world.taken("username,expires_at\njoe,forever\n").await;
    assert_eq!(world.store.rows().len(), 0);
}
