use std::{collections::BTreeSet, net::IpAddr};

use async_trait::async_trait;
use chrono::DateTime;

use crate::{
    BindingKind, BlockOrder, DropOrder, GatewayError, Hardware, Live, MacAddr, Progress, Query,
    Refusal, Revision, RouterGateway, RouterLogin, Sighting, Task, TaskId, Username, Want,
    decide::{Claim, Leftovers, block_order, drop_order},
};

/// A gateway on trial and the router that it is tried on.
///
/// The router is empty and has the gateway's account. It lets devices in by form, cookie, MAC login
/// and bypass binding; its devices try every way back in as soon as they are off.
#[async_trait]
pub trait GatewayBench: Send + Sync {
    /// Returns the gateway.
    fn gateway(&self) -> &dyn RouterGateway;

    /// Returns the router, not seen yet, and how to log in there.
    fn login(&self) -> RouterLogin;

    /// Returns what the router really is.
    fn hardware(&self) -> Hardware;

    /// Adds an account.
    fn add_user(&self, name: &str, disabled: bool);

    /// Adds a binding.
    fn add_binding(&self, binding: Binding<'_>);

    /// Adds a bypass binding without a MAC for an address, a range of them, or a network.
    fn add_address_binding(&self, addresses: &str);

    /// Has the router's DHCP server hold an address for a device.
    fn add_lease(&self, mac: MacAddr, address: IpAddr);

    /// Has the router know by ARP which device an address is.
    fn add_neighbour(&self, mac: MacAddr, address: IpAddr);

    /// Brings a device into range, online, with the account or binding that it comes in by (unless
    /// that exists) and one tracked connection. Returns its address.
    fn add_device(&self, device: Device<'_>) -> IpAddr;

    /// Tells whether a device can move bytes through the router now.
    fn can_move(&self, mac: MacAddr) -> bool;

    /// Returns all accounts as name and whether disabled, sorted.
    fn users(&self) -> Vec<(String, bool)>;

    /// Returns all bindings as device and whether disabled, sorted.
    fn bindings(&self) -> Vec<(MacAddr, bool)>;

    /// Takes the permission to write from the gateway's account.
    fn refuse_writes(&self);

    /// Has the router end its connections and accept new ones.
    async fn hang_up(&self);

    /// Waits until every device has tried all it can.
    async fn settle(&self);
}

/// An IP binding to be added.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The device it fits.
    pub mac: MacAddr,
    /// What it does.
    pub kind: BindingKind,
    /// Its comment.
    pub comment: &'a str,
    /// Whether it is switched off.
    pub disabled: bool,
}

/// How a device comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// By the account of this name: form, and then cookie.
    Account(&'a str),
    /// By an account named like its MAC, as RouterOS prints it.
    MacLogin,
    /// By a bypass binding of its MAC.
    Bypass,
}

/// A device to be added.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// Its MAC.
    pub mac: MacAddr,
    /// How it comes in.
    pub entry: Entry<'a>,
    /// Whether its connections skip the firewall until their rows are removed.
    pub fasttrack: bool,
}

impl<'a> Device<'a> {
    /// A device without fasttracked connections.
    pub(super) fn new(mac: MacAddr, entry: Entry<'a>) -> Self {
        Self {
            mac,
            entry,
            fasttrack: false,
        }
    }
}

/// Brings a device online.
pub(super) async fn online(bench: &dyn GatewayBench, device: Device<'_>) -> IpAddr {
    let address = bench.add_device(device);
    bench.settle().await;
    assert!(bench.can_move(device.mac), "{device:?} is online");
    address
}

pub(super) async fn look(bench: &dyn GatewayBench, query: &Query) -> Sighting {
    ok(bench.gateway().look(&bench.login(), query).await)
}

pub(super) async fn block(
    bench: &dyn GatewayBench,
    order: &BlockOrder,
    query: &Query,
) -> (Sighting, Vec<Refusal>) {
    ok(bench
        .gateway()
        .block(&bench.login().router, order, query)
        .await)
}

pub(super) async fn drop_rows(bench: &dyn GatewayBench, order: &DropOrder) -> Vec<Refusal> {
    ok(bench
        .gateway()
        .drop_rows(&bench.login().router, order)
        .await)
}

/// Cuts whoever has `name` and `macs` as an engine does, and returns what the first look showed
/// and what the last one left.
pub(super) async fn cut(
    bench: &dyn GatewayBench,
    name: Option<&str>,
    macs: &[MacAddr],
) -> (Leftovers, Leftovers) {
    cut_by(bench, name, macs, |left| drop_order([left])).await
}

/// Cuts as [`cut`], but forgets the connections.
pub(super) async fn cut_but_connections(
    bench: &dyn GatewayBench,
    name: Option<&str>,
    macs: &[MacAddr],
) -> (Leftovers, Leftovers) {
    let order = |left: &Leftovers| DropOrder {
        connections: Vec::new(),
        ..drop_order([left])
    };
    cut_by(bench, name, macs, order).await
}

async fn cut_by(
    bench: &dyn GatewayBench,
    name: Option<&str>,
    macs: &[MacAddr],
    order: impl FnOnce(&Leftovers) -> DropOrder,
) -> (Leftovers, Leftovers) {
    let task = task(name, macs);
    let query = Query {
        bypasses: true,
        ..query(name, macs)
    };
    let found = leftovers(&task, &look(bench, &query).await, None);
    let wide = wide(&query, &found);
    let (seen, refused) = block(bench, &block_order([&found]), &wide).await;
    assert_eq!(refused, []);
    let open = leftovers(&task, &seen, Some(&found));
    assert_eq!(drop_rows(bench, &order(&open)).await, []);
    bench.settle().await;
    let back = leftovers(&task, &look(bench, &wide).await, Some(&open));
    (found, back)
}

/// Finds what is left of a task, by a reading and what an earlier one had found.
pub(super) fn leftovers(task: &Task, seen: &Sighting, before: Option<&Leftovers>) -> Leftovers {
    let live = Live::default();
    let known = before.map(|found| found.addresses.clone());
    let claim = Claim::new(task, &live, false);
    Leftovers::find(&claim, seen, &known.unwrap_or_default())
}

/// Asks for everything that may belong to a name and MACs.
pub(super) fn query(name: Option<&str>, macs: &[MacAddr]) -> Query {
    Query {
        names: name.into_iter().map(username).collect(),
        macs: macs.iter().copied().collect(),
        ..Query::default()
    }
}

/// Asks also for the devices and addresses that were found, and for connections.
pub(super) fn wide(query: &Query, found: &Leftovers) -> Query {
    Query {
        stations: found.stations.clone(),
        addresses: found.addresses.clone(),
        connections: true,
        ..query.clone()
    }
}

pub(super) fn task(name: Option<&str>, macs: &[MacAddr]) -> Task {
    let due_at = DateTime::UNIX_EPOCH;
    Task {
        id: TaskId(1),
        want: Want::Cut,
        revision: Revision(1),
        username: name.map(username),
        macs: macs.iter().copied().collect::<BTreeSet<_>>(),
        due_at,
        backlog: false,
        progress: Progress::owed(due_at),
        trace: crate::Trace::default(),
        undo: Vec::new(),
    }
}

#[track_caller]
pub(super) fn ok<T>(result: Result<T, GatewayError>) -> T {
    result.unwrap_or_else(|error| panic!("the gateway failed: {error:?}"))
}

/// Asserts that a write failed for want of a connection.
#[track_caller]
pub(super) fn assert_disconnected<T>(result: Result<T, GatewayError>) {
    match result {
        Err(GatewayError::Disconnected { .. }) => {}
        Err(error) => panic!("{error:?} instead of Disconnected"),
        Ok(_) => panic!("it was written"),
    }
}

pub(super) fn username(name: &str) -> Username {
    name.parse().expect("the names of the cases are good")
}

pub(super) fn mac(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0xAB, last])
}

pub(super) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort();
    items
}
