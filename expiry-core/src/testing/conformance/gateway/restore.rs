use std::collections::BTreeSet;

use super::bench::{
    Binding, Device, Entry, GatewayBench, cut, drop_rows, look, mac, ok, online, query, task,
};
use crate::{
    BindingKind, DropOrder, Live,
    decide::{Claim, Leftovers, hosts_to_renew, plan_restore, undo_of},
};

const NAME: &str = "255700000001";

pub async fn r3_an_account_that_is_enabled_again_lets_its_device_in(bench: &dyn GatewayBench) {
    assert_restored(bench, Entry::Account(NAME), Some(NAME)).await;
    assert_eq!(bench.users(), [(NAME.into(), false)]);
}

pub async fn r3_a_binding_that_is_enabled_again_lets_its_device_in(bench: &dyn GatewayBench) {
    assert_restored(bench, Entry::Bypass, None).await;
    assert_eq!(bench.bindings(), [(mac(1), false)]);
}

pub async fn r3_what_the_operator_had_disabled_stays_disabled(bench: &dyn GatewayBench) {
    bench.add_user("+255700000001", true);
    bench.add_binding(Binding {
        mac: mac(1),
        kind: BindingKind::Bypassed,
        comment: "an old one",
        disabled: true,
    });
    bench.add_binding(Binding {
        mac: mac(1),
        kind: BindingKind::Bypassed,
        comment: "another",
        disabled: false,
    });
    assert_restored(bench, Entry::Account(NAME), Some(NAME)).await;
    let users = [("+255700000001".into(), true), (NAME.into(), false)];
    assert_eq!(bench.users(), users);
    assert_eq!(bench.bindings(), [(mac(1), false), (mac(1), true)]);
}

/// Cuts a device, undoes that, and asserts that it is online again.
async fn assert_restored(bench: &dyn GatewayBench, entry: Entry<'_>, name: Option<&str>) {
    online(bench, Device::new(mac(1), entry)).await;
    let found = look(bench, &query(name, &[mac(1)])).await;
    cut(bench, name, &[mac(1)]).await;
    assert!(!bench.can_move(mac(1)));

    let mut task = task(name, &[mac(1)]);
    let live = Live::default();
    let claim = Claim::new(&task, &live, false);
    let left = Leftovers::find(&claim, &found, &BTreeSet::new());
    let undo = undo_of(&claim, &found, &left);
    task.undo = undo;
    let seen = look(bench, &query(name, &[mac(1)])).await;
    let order = plan_restore(&task, &seen).order;
    let refused = bench.gateway().unblock(&bench.login().router, &order).await;
    assert_eq!(ok(refused), []);

    let back = look(bench, &query(name, &[mac(1)])).await;
    let order = plan_restore(&task, &back).order;
    assert!(order.is_empty(), "{order:?}");
    let hosts = hosts_to_renew(&task, &back);
    let order = DropOrder {
        hosts,
        ..DropOrder::default()
    };
    assert_eq!(drop_rows(bench, &order).await, []);
    bench.settle().await;
    assert!(bench.can_move(mac(1)));
}
