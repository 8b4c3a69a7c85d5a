use super::bench::{
    Device, Entry, GatewayBench, assert_disconnected, leftovers, look, mac, ok, online, query,
    task, wide,
};
use crate::{
    GatewayError, Hardware, Query, Router, RouterId, RouterLogin, RowId, UnblockOrder,
    decide::{Leftovers, block_order, drop_order},
};

const NAME: &str = "255700000001";

pub async fn a_look_connects(bench: &dyn GatewayBench) {
    bench.add_user(NAME, false);
    assert_eq!(look(bench, &question()).await.users.len(), 1);
}

pub async fn writes_without_a_connection_fail_and_change_nothing(bench: &dyn GatewayBench) {
    online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    assert_no_write_lands(bench, &bench.login().router, &Leftovers::default()).await;
}

pub async fn writes_after_the_line_was_closed_fail_and_change_nothing(bench: &dyn GatewayBench) {
    let found = found_online(bench).await;
    bench.gateway().close(bench.login().router.id).await;
    assert_no_write_lands(bench, &bench.login().router, &found).await;
}

pub async fn writes_after_the_router_hung_up_fail_and_change_nothing(bench: &dyn GatewayBench) {
    let found = found_online(bench).await;
    bench.hang_up().await;
    assert_no_write_lands(bench, &bench.login().router, &found).await;
}

pub async fn a_look_connects_again_after_the_router_hung_up(bench: &dyn GatewayBench) {
    let found = found_online(bench).await;
    bench.hang_up().await;

    let again = leftovers(&cut_task(), &look(bench, &question()).await, None);
    assert_eq!(again.users.len(), found.users.len());
    let order = block_order([&again]);
    ok(bench
        .gateway()
        .block(&bench.login().router, &order, &question())
        .await);

    assert_eq!(bench.users(), [(NAME.into(), true)]);
}

pub async fn a_probe_says_what_the_router_is(bench: &dyn GatewayBench) {
    for _ in 0..2 {
        let facts = ok(bench.gateway().probe(&bench.login()).await);
        assert_eq!(facts.hardware, bench.hardware());
        assert!(facts.version.is_some() && facts.board.is_some() && facts.uptime.is_some());
    }
    let mut known = bench.login();
    known.router.seen = Some(bench.hardware());
    ok(bench.gateway().probe(&known).await);
}

pub async fn r1_another_box_is_neither_read_nor_written(bench: &dyn GatewayBench) {
    online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    let login = mistaken(bench);
    assert_wrong(bench.gateway().look(&login, &question()).await);
    assert_wrong(bench.gateway().sessions(&login).await);
    assert_wrong(bench.gateway().probe(&login).await);
    assert_no_write_lands(bench, &login.router, &Leftovers::default()).await;
}

pub async fn r1_a_box_that_turns_out_to_be_another_is_written_no_more(bench: &dyn GatewayBench) {
    let found = found_online(bench).await;
    assert_no_write_lands(bench, &mistaken(bench).router, &found).await;
    assert_wrong(bench.gateway().look(&mistaken(bench), &question()).await);
    ok(bench.gateway().look(&bench.login(), &question()).await);
}

pub async fn a_router_without_a_connection_can_be_closed(bench: &dyn GatewayBench) {
    bench.gateway().close(RouterId(4711)).await;
    bench.gateway().close(bench.login().router.id).await;
    ok(bench.gateway().probe(&bench.login()).await);
    bench.gateway().close(bench.login().router.id).await;
    bench.gateway().close(bench.login().router.id).await;
    ok(bench.gateway().probe(&bench.login()).await);
}

fn question() -> Query {
    query(Some(NAME), &[mac(1)])
}

fn cut_task() -> crate::Task {
    task(Some(NAME), &[mac(1)])
}

/// The router, if another box was seen at its address before.
fn mistaken(bench: &dyn GatewayBench) -> RouterLogin {
    let mut login = bench.login();
    login.router.seen = Some(Hardware {
        identity: "another".into(),
        serial: Some("ANOTHER".into()),
    });
    login
}

/// Brings the device online and looks for it.
async fn found_online(bench: &dyn GatewayBench) -> Leftovers {
    online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    let found = leftovers(&cut_task(), &look(bench, &question()).await, None);
    let seen = look(bench, &wide(&question(), &found)).await;
    leftovers(&cut_task(), &seen, Some(&found))
}

/// Tries to write to all that was `found`, or else to ids that may be right, and asserts that
/// nothing comes of it.
async fn assert_no_write_lands(bench: &dyn GatewayBench, router: &Router, found: &Leftovers) {
    let (users, bindings) = (bench.users(), bench.bindings());
    let mut block_order = block_order([found]);
    let mut drop_order = drop_order([found]);
    if block_order.users.is_empty() {
        block_order.users = ids();
        drop_order.hosts = ids();
    }
    let gateway = bench.gateway();

    assert_disconnected(gateway.block(router, &block_order, &question()).await);
    assert_disconnected(gateway.drop_rows(router, &drop_order).await);
    let order = UnblockOrder {
        users: ids(),
        bindings: ids(),
    };
    assert_disconnected(gateway.unblock(router, &order).await);
    bench.settle().await;

    assert_eq!((bench.users(), bench.bindings()), (users, bindings));
    assert!(bench.can_move(mac(1)));
}

/// The ids that a router gives first.
fn ids() -> Vec<RowId> {
    let ids = (1..=4).filter_map(|n| RowId::new(format!("*{n:X}")));
    ids.collect()
}

#[track_caller]
fn assert_wrong<T>(result: Result<T, GatewayError>) {
    match result {
        Err(GatewayError::WrongRouter { found, .. }) => assert!(!found.is_empty()),
        Err(error) => panic!("{error:?} instead of WrongRouter"),
        Ok(_) => panic!("another box was taken for the router"),
    }
}
