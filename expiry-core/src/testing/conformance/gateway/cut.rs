use super::bench::{
    Binding, Device, Entry, GatewayBench, block, cut, cut_but_connections, drop_rows, leftovers,
    look, mac, online, query, sorted, task, wide,
};
use crate::{
    BindingKind, BlockOrder, DropOrder, MacAddr, RowId,
    decide::{block_order, drop_order},
};

const NAME: &str = "255700000001";

pub async fn r6_an_account_with_a_cookie_is_cut(bench: &dyn GatewayBench) {
    assert_cut(bench, Device::new(mac(1), Entry::Account(NAME))).await;
}

pub async fn r6_a_bypassed_device_is_cut(bench: &dyn GatewayBench) {
    assert_cut(bench, Device::new(mac(1), Entry::Bypass)).await;
}

pub async fn r6_a_device_that_logs_in_by_its_mac_is_cut(bench: &dyn GatewayBench) {
    assert_cut(bench, Device::new(mac(1), Entry::MacLogin)).await;
}

pub async fn r6_a_fasttracked_flow_is_cut(bench: &dyn GatewayBench) {
    let device = Device {
        fasttrack: true,
        ..Device::new(mac(1), Entry::Account(NAME))
    };
    assert_cut(bench, device).await;
}

pub async fn r6_a_bypassed_device_with_fasttracked_flows_is_cut(bench: &dyn GatewayBench) {
    let device = Device {
        fasttrack: true,
        ..Device::new(mac(1), Entry::Bypass)
    };
    assert_cut(bench, device).await;
}

pub async fn r6_a_device_with_two_accounts_and_a_binding_is_cut(bench: &dyn GatewayBench) {
    bench.add_user("+255700000001", false);
    bench.add_user(&mac(1).to_string(), false);
    for comment in ["a", "b"] {
        bench.add_binding(Binding {
            mac: mac(1),
            kind: BindingKind::Bypassed,
            comment,
            disabled: false,
        });
    }
    assert_cut(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    assert!(bench.users().iter().all(|(_, disabled)| *disabled));
    assert_eq!(bench.bindings(), [(mac(1), true), (mac(1), true)]);
}

pub async fn r1_those_who_share_nothing_but_the_router_stay_online(bench: &dyn GatewayBench) {
    online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    online(bench, Device::new(mac(2), Entry::Account("2557000000012"))).await;
    online(bench, Device::new(mac(3), Entry::Bypass)).await;
    online(bench, Device::new(mac(4), Entry::MacLogin)).await;

    cut(bench, Some(NAME), &[mac(1)]).await;

    assert!(!bench.can_move(mac(1)));
    for other in [mac(2), mac(3), mac(4)] {
        assert!(bench.can_move(other), "{other}");
    }
    let disabled = bench.users().into_iter().filter(|(_, disabled)| *disabled);
    assert_eq!(sorted(disabled), [(NAME.into(), true)]);
    assert_eq!(bench.bindings(), [(mac(3), false)]);
}

pub async fn r6_a_device_that_passes_by_the_binding_of_its_address_is_cut(
    bench: &dyn GatewayBench,
) {
    let device = Device {
        fasttrack: true,
        ..Device::new(mac(1), Entry::Account(NAME))
    };
    let address = online(bench, device).await;
    cut(bench, Some(NAME), &[mac(1)]).await;
    bench.add_address_binding(&address.to_string());
    let neighbour = online(bench, Device::new(mac(2), Entry::Bypass)).await;
    assert_ne!(address, neighbour);
    bench.settle().await;
    drop_rows(bench, &hosts_of(bench, mac(1)).await).await;
    bench.settle().await;
    assert!(bench.can_move(mac(1)), "it passes by its address");

    let (_, back) = cut(bench, Some(NAME), &[mac(1)]).await;

    assert!(back.is_clear(), "{back:?}");
    assert!(!bench.can_move(mac(1)) && bench.can_move(mac(2)));
}

pub async fn r1_a_binding_that_covers_others_too_is_left_alone(bench: &dyn GatewayBench) {
    bench.add_address_binding("10.0.0.0/8");
    online(bench, Device::new(mac(1), Entry::Account(NAME))).await;

    let (_, back) = cut(bench, Some(NAME), &[mac(1)]).await;

    assert_eq!(back.bindings, []);
    assert_eq!(back.shared.len(), 1, "{back:?}");
    assert!(back.is_online() && bench.can_move(mac(1)));
}

/// The order that has the router forget a device.
async fn hosts_of(bench: &dyn GatewayBench, mac: MacAddr) -> DropOrder {
    let seen = look(bench, &query(None, &[mac])).await;
    DropOrder {
        hosts: seen.hosts.into_iter().map(|row| row.id).collect(),
        ..DropOrder::default()
    }
}

pub async fn r6_a_fasttracked_flow_outlives_its_session(bench: &dyn GatewayBench) {
    let device = Device {
        fasttrack: true,
        ..Device::new(mac(1), Entry::Account(NAME))
    };
    online(bench, device).await;

    let (_, back) = cut_but_connections(bench, Some(NAME), &[mac(1)]).await;

    assert!(bench.can_move(mac(1)));
    assert!(back.ways_are_closed() && !back.is_clear(), "{back:?}");
}

pub async fn r6_what_was_dropped_before_its_ways_in_were_closed_is_back(bench: &dyn GatewayBench) {
    online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    let task = task(Some(NAME), &[mac(1)]);
    let seen = look(bench, &query(Some(NAME), &[mac(1)])).await;
    let found = leftovers(&task, &seen, None);

    drop_rows(bench, &drop_order([&found])).await;
    bench.settle().await;
    let wide = wide(&query(Some(NAME), &[mac(1)]), &found);
    block(bench, &block_order([&found]), &wide).await;
    bench.settle().await;

    assert!(bench.can_move(mac(1)));
    let back = leftovers(&task, &look(bench, &wide).await, Some(&found));
    assert!(back.is_online());
}

pub async fn a_block_ends_no_session_and_reads_those_there_are(bench: &dyn GatewayBench) {
    let address = online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    online(bench, Device::new(mac(2), Entry::Account("other"))).await;
    let task = task(Some(NAME), &[mac(1)]);
    let seen = look(bench, &query(Some(NAME), &[mac(1)])).await;
    let found = leftovers(&task, &seen, None);
    let wide = wide(&query(Some(NAME), &[mac(1)]), &found);

    let (seen, refused) = block(bench, &block_order([&found]), &wide).await;
    bench.settle().await;

    assert_eq!(refused, []);
    assert!(bench.can_move(mac(1)));
    let sessions: Vec<_> = seen.actives.iter().map(|row| row.mac).collect();
    let hosts: Vec<_> = seen.hosts.iter().map(|row| row.mac).collect();
    assert_eq!((sessions, hosts), (vec![Some(mac(1))], vec![Some(mac(1))]));
    assert_eq!(seen.connections.len(), 1);
    assert!(seen.connections[0].addresses.contains(&address));
    assert_eq!(
        bench.users(),
        [(NAME.into(), true), ("other".into(), false)]
    );
}

pub async fn r2_writes_to_rows_that_are_gone_are_no_refusals(bench: &dyn GatewayBench) {
    online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    let gone = RowId::new("*7FFFFF0").expect("not empty");
    look(bench, &query(Some(NAME), &[])).await;

    let block_order = BlockOrder {
        users: vec![gone.clone()],
        cookies: vec![gone.clone()],
        bindings: vec![gone.clone()],
    };
    let drop_order = DropOrder {
        actives: vec![gone.clone()],
        hosts: vec![gone.clone()],
        connections: vec![gone],
    };
    let (_, refused) = block(bench, &block_order, &query(Some(NAME), &[])).await;

    assert_eq!(refused, []);
    assert_eq!(drop_rows(bench, &drop_order).await, []);
    assert!(bench.can_move(mac(1)));
}

pub async fn r9_writes_without_permission_are_refused_one_by_one_and_change_nothing(
    bench: &dyn GatewayBench,
) {
    online(bench, Device::new(mac(1), Entry::Account(NAME))).await;
    online(bench, Device::new(mac(2), Entry::Bypass)).await;
    let macs = [mac(1), mac(2)];
    let task = task(Some(NAME), &macs);
    let everything = query(Some(NAME), &macs);
    let found = leftovers(&task, &look(bench, &everything).await, None);
    bench.refuse_writes();

    let order = block_order([&found]);
    let (seen, refused) = block(bench, &order, &wide(&everything, &found)).await;
    let all = order
        .users
        .iter()
        .chain(&order.cookies)
        .chain(&order.bindings);
    assert_eq!(
        sorted(refused.iter().map(|refusal| &refusal.row)),
        sorted(all)
    );
    assert!(refused.iter().all(|refusal| !refusal.message.is_empty()));
    let open = leftovers(&task, &seen, Some(&found));
    let refused = drop_rows(bench, &drop_order([&open])).await;
    assert_eq!(
        refused.len(),
        open.actives.len() + open.open_hosts.len() + 2
    );
    bench.settle().await;

    assert!(bench.can_move(mac(1)) && bench.can_move(mac(2)));
    assert_eq!(bench.users(), [(NAME.into(), false)]);
    assert_eq!(bench.bindings(), [(mac(2), false)]);
}

/// Cuts a device and asserts that nothing of it passes any more, nor is left in a table.
async fn assert_cut(bench: &dyn GatewayBench, device: Device<'_>) {
    online(bench, device).await;
    let name = match device.entry {
        Entry::Account(name) => Some(name),
        Entry::MacLogin | Entry::Bypass => None,
    };

    let (found, back) = cut(bench, name, &[device.mac]).await;

    assert!(found.is_online(), "{found:?}");
    assert!(!bench.can_move(device.mac));
    assert!(back.is_clear(), "{back:?}");
}
