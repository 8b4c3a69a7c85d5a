use std::collections::BTreeSet;

use expiry_core::{
    ActiveRow, BindingKind, BlockOrder, DropOrder, Refusal, RouterGateway, RowKind, UnblockOrder,
};

use super::*;
use crate::wire::Sentence;

fn id(text: &str) -> RowId {
    RowId::new(text).expect("not empty")
}

/// Shows a write as `command id disabled`.
fn written(command: &Sentence) -> String {
    let parts = [
        Some(command.command()),
        command.get(".id"),
        command.get("disabled"),
    ];
    let parts = parts.into_iter().flatten();
    let parts: Vec<_> = parts.map(String::from_utf8_lossy).collect();
    parts.join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_look_gathers_rows_of_interleaved_answers() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let play = async {
        let commands = peer.take(LOOK).await;
        let [users, cookies, actives] = &commands[..] else {
            panic!("{commands:?}");
        };
        let active = [
            (".id", "*A053207"),
            ("user", "alice"),
            ("mac-address", "aa:bb:cc:dd:ee:0f"),
            ("address", "10.5.50.7"),
            ("login-by", "cookie"),
        ];
        peer.row(actives, &active).await;
        peer.row(
            users,
            &[(".id", "*1"), ("name", "alice"), ("disabled", "yes")],
        )
        .await;
        peer.done(actives).await;
        peer.row(
            cookies,
            &[(".id", "*2"), ("user", "alice"), ("mac-address", "?")],
        )
        .await;
        peer.reply(cookies, "!done", &[]).await;
        peer.done(users).await;
    };
    let (seen, ()) = tokio::join!(gateway.look(&login, &query), play);
    let seen = seen.expect("a good answer");
    assert!(seen.users[0].disabled);
    assert_eq!(seen.cookies[0].mac, None);
    let active = ActiveRow {
        id: id("*A053207"),
        user: "alice".into(),
        mac: "AA:BB:CC:DD:EE:0F".parse().ok(),
        address: "10.5.50.7".parse().ok(),
        login_by: Some("cookie".into()),
        radius: false,
        uptime: None,
    };
    assert_eq!(seen.actives, [active]);
}

#[tokio::test(start_paused = true)]
async fn names_that_are_not_utf8_stop_nothing() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let query = query();
    let play = async {
        for command in peer.take(LOOK).await {
            let row = Sentence::new("!re").attribute(".id", "*1");
            let row = row
                .attribute("name", b"caf\xE9")
                .attribute("user", b"caf\xE9");
            peer.say(row.tag(command.get_tag().expect("a tag"))).await;
            peer.done(&command).await;
        }
    };
    let (seen, ()) = tokio::join!(gateway.look(&login, &query), play);
    assert_eq!(seen.expect("a good answer").users[0].name, r"caf\xe9");
}

#[tokio::test(start_paused = true)]
async fn r6_a_block_disables_and_removes_and_reads_in_one_flight() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let order = BlockOrder {
        users: vec![id("*1")],
        cookies: vec![id("*2"), id("*3")],
        bindings: vec![id("*4")],
    };
    let query = Query {
        stations: ["AA:BB:CC:DD:EE:0F".parse().expect("a MAC")].into(),
        connections: true,
        ..Query::default()
    };
    let play = async {
        let commands = peer.take(7).await;
        let writes: Vec<_> = commands[..4].iter().map(written).collect();
        let expected = [
            "/ip/hotspot/user/set *1 yes",
            "/ip/hotspot/ip-binding/set *4 yes",
            "/ip/hotspot/cookie/remove *2",
            "/ip/hotspot/cookie/remove *3",
        ];
        assert_eq!(writes, expected);
        let reads: Vec<_> = commands[4..].iter().map(Sentence::command).collect();
        let expected: [&[u8]; 3] = [
            b"/ip/hotspot/active/print",
            b"/ip/hotspot/host/print",
            b"/ip/firewall/connection/print",
        ];
        assert_eq!(reads, expected);
        peer.trap(&commands[0], "not enough permissions (9)").await;
        peer.trap(&commands[2], "no such item (4)").await;
        for command in [&commands[1], &commands[3], &commands[4]] {
            peer.done(command).await;
        }
        let connection = |id, from| [(".id", id), ("src-address", from), ("fasttrack", "true")];
        peer.row(&commands[6], &connection("*F1", "10.5.50.7:40000"))
            .await;
        peer.row(&commands[6], &connection("*F2", "10.5.50.8:40000"))
            .await;
        peer.done(&commands[6]).await;
        let host = [
            (".id", "*B"),
            ("address", "10.5.50.7"),
            ("bypassed", "true"),
        ];
        peer.row(&commands[5], &host).await;
        peer.done(&commands[5]).await;
    };
    let (blocked, ()) = tokio::join!(gateway.block(&login.router, &order, &query), play);
    let (seen, refusals) = blocked.expect("a good answer");
    let refusal = Refusal {
        kind: RowKind::Account,
        row: id("*1"),
        message: "not enough permissions (9)".into(),
    };
    assert_eq!(refusals, [refusal]);
    assert!(seen.hosts[0].bypassed);
    let connections: BTreeSet<_> = seen.connections.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(connections, ["*F1"].into());
    assert!(office.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn r6_a_drop_removes_sessions_hosts_and_connections() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let order = DropOrder {
        actives: vec![id("*A")],
        hosts: vec![id("*B")],
        connections: vec![id("*C"), id("*D")],
    };
    let play = async {
        let commands = peer.take(4).await;
        let writes: Vec<_> = commands.iter().map(written).collect();
        let expected = [
            "/ip/hotspot/active/remove *A",
            "/ip/hotspot/host/remove *B",
            "/ip/firewall/connection/remove *C",
            "/ip/firewall/connection/remove *D",
        ];
        assert_eq!(writes, expected);
        for command in commands.iter().rev() {
            peer.trap(command, "no such item").await;
        }
    };
    let (dropped, ()) = tokio::join!(gateway.drop_rows(&login.router, &order), play);
    assert_eq!(dropped, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn r3_an_unblock_enables() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let order = UnblockOrder {
        users: vec![id("*1")],
        bindings: vec![id("*2")],
    };
    let play = async {
        let commands = peer.take(2).await;
        let writes: Vec<_> = commands.iter().map(written).collect();
        let expected = [
            "/ip/hotspot/user/set *1 no",
            "/ip/hotspot/ip-binding/set *2 no",
        ];
        assert_eq!(writes, expected);
        for command in &commands {
            peer.done(command).await;
        }
    };
    let (unblocked, ()) = tokio::join!(gateway.unblock(&login.router, &order), play);
    assert_eq!(unblocked, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn r9_sessions_reads_all_sessions_and_what_is_bypassed_and_nothing_else() {
    let (gateway, mut office) = gateway();
    let login = login();
    let mut peer = connected(&gateway, &mut office, &login).await;
    let play = async {
        let commands = peer.take(3).await;
        let queries: Vec<_> = commands.iter().flat_map(Sentence::queries).collect();
        let expected: [&[u8]; 6] = [
            b"bypassed=true",
            b"type=bypassed",
            b"bypassed=true",
            b"#|",
            b"disabled=true",
            b"#!&",
        ];
        assert_eq!(queries, expected);
        let binding = [(".id", "*9"), ("type", "bypassed"), ("comment", "alice")];
        for command in &commands {
            if command.command() == b"/ip/hotspot/ip-binding/print" {
                peer.row(command, &binding).await;
            }
            peer.done(command).await;
        }
    };
    let (seen, ()) = tokio::join!(gateway.sessions(&login), play);
    let seen = seen.expect("a good answer");
    assert_eq!(seen.bindings[0].kind, BindingKind::Bypassed);
    assert_eq!(seen.bindings[0].comment.as_deref(), Some("alice"));
}

#[tokio::test(start_paused = true)]
async fn r7_a_look_without_criteria_sends_nothing() {
    let (gateway, mut office) = gateway();
    let login = login();
    let _peer = connected(&gateway, &mut office, &login).await;
    let seen = gateway.look(&login, &Query::default()).await;
    assert_eq!(seen, Ok(expiry_core::Sighting::default()));
}
