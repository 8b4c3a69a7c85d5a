//! What is said of lists that are wrong.

use super::*;

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
