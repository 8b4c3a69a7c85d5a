use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use expiry_core::{BindingKind, MacAddr, watcher::WatcherConfig};
use expiry_mikrotik::sim::{ClientConfig, ClientId, Fault, FaultRule, Row, SimConfig};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::world::{DEADLINE, SECOND, SHORTLY_BEFORE, Site, WAYS, Way, World, client, config, mac};

/// Names that contain each other, and are all different subscribers.
const NAMES: [&str; 12] = [
    "2557000",
    "25570001",
    "255700012",
    "2557000123",
    "557000",
    "700",
    "john",
    "john2",
    "xjohn",
    "John",
    "john doe",
    "+john",
];

/// Somebody near the router. Each has a name and a device of its own, by position.
#[derive(Clone, Copy, Debug)]
struct Someone {
    way: Way,
    role: Role,
    /// Whether the device uses the address of the one before.
    shares_address: bool,
    extra: Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A subscriber whose access ends so many milliseconds after the first.
    Ends(u16),
    /// A subscriber whose access goes on.
    Lives,
    /// Nobody we know.
    Stray,
    /// The device of a subscriber whose access ends, logged in with an account of nobody we know.
    Lent,
}

/// Rows that mean nothing to the device itself.
#[derive(Clone, Copy, Debug)]
enum Extra {
    Nothing,
    /// An account named like the device, spelled in another way.
    OddSpelling,
    /// A binding of an unknown device with the name as comment.
    Namesake,
    /// A disabled account under the other spelling of the name.
    Disabled,
}

/// What has to come of a device.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Off, and not before this.
    Off(Duration),
    /// Online all the time.
    Untouched,
}

fn someone() -> impl Strategy<Value = Someone> {
    let role = prop_oneof![
        3 => (0u16..4000).prop_map(Role::Ends),
        2 => Just(Role::Lives),
        2 => Just(Role::Stray),
        1 => Just(Role::Lent),
    ];
    let extra = select(vec![
        Extra::Nothing,
        Extra::OddSpelling,
        Extra::Namesake,
        Extra::Disabled,
    ]);
    let parts = (select(WAYS.to_vec()), role, any::<bool>(), extra);
    parts.prop_map(|(way, role, shares_address, extra)| Someone {
        way,
        role,
        shares_address,
        extra,
    })
}

fn faults() -> impl Strategy<Value = Option<(Fault, u64)>> {
    let kinds = vec![
        Fault::LoseAnswer,
        Fault::Close,
        Fault::CutAnswer,
        Fault::Garbage,
        Fault::Stall(Duration::from_secs(7)),
        Fault::Fatal,
    ];
    option::of((select(kinds), 0u64..80))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn r1_whoever_ends_goes_and_nobody_else_is_ever_touched(
        people in vec(someone(), 1..=NAMES.len()),
        names in Just(NAMES.to_vec()).prop_shuffle(),
        fault in faults(),
        omits_false_flags: bool,
        comments: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let sim = SimConfig {
            omit_false_flags: omits_false_flags,
            ..config("hill")
        };
        let watcher = WatcherConfig {
            comments,
            ..WatcherConfig::default()
        };
        runtime.block_on(play(&people, &names, fault, sim, watcher));
    }
}

async fn play(
    people: &[Someone],
    names: &[&str],
    fault: Option<(Fault, u64)>,
    sim: SimConfig,
    watcher: WatcherConfig,
) {
    let world = World::new();
    let site = world.site_with(sim).await;
    let mut fates = Vec::new();
    let mut ours = Rows {
        comments: watcher.comments,
        ..Rows::default()
    };
    let mut flows = BTreeSet::new();
    for (at, (someone, name)) in people.iter().zip(names).enumerate() {
        let before = at.checked_sub(1).map(|at| &people[at]);
        let known = connections(&site);
        let (client, fate) = admit(&world, &site, at, *someone, before, name, &mut ours).await;
        if fate == Fate::Untouched {
            flows.extend(connections(&site).difference(&known).cloned());
        }
        fates.push((client, fate));
    }
    let others = ours.others(&site);
    let running = world.start_with(watcher);
    world.reach(SHORTLY_BEFORE).await;
    if let Some((fault, position)) = fault {
        site.with(|sim| sim.inject(FaultRule::on("", fault).after(position).once()));
    }

    world.reach(DEADLINE + 40 * SECOND).await;

    let traffic = site.traffic(&world);
    for (client, fate) in &fates {
        let stops: Vec<_> = traffic
            .iter()
            .filter(|(_, of, moving)| of == client && !moving)
            .map(|(at, ..)| *at)
            .collect();
        match fate {
            Fate::Untouched => assert_eq!(stops, [], "{client:?} was interrupted"),
            Fate::Off(end) => {
                assert!(
                    !site.with(|sim| sim.client_can_move_bytes(*client)),
                    "{client:?}"
                );
                assert!(
                    stops.iter().all(|at| at >= end),
                    "{client:?} stopped at {stops:?}"
                );
            }
        }
    }
    assert_eq!(ours.others(&site), others, "rows of others");
    let broken = flows.difference(&connections(&site)).count();
    assert_eq!(broken, 0, "of {flows:?}");
    running.stop().await;
}

/// Brings a device online and gives its owner what it has. Says what has to come of it.
async fn admit(
    world: &World,
    site: &Site,
    at: usize,
    someone: Someone,
    before: Option<&Someone>,
    name: &str,
    ours: &mut Rows,
) -> (ClientId, Fate) {
    let number = u16::try_from(at).expect("few");
    let Someone { way, role, .. } = someone;
    let mut config = ClientConfig {
        name: match way {
            Way::MacLogin => mac(number).to_string(),
            Way::Plus if name.bytes().all(|b| b.is_ascii_digit()) => format!("+{name}"),
            Way::Account | Way::Plus | Way::Fasttrack | Way::Bypass | Way::BypassFasttrack => {
                name.into()
            }
        },
        ..client(number, way)
    };
    // A session's row is named by its address, so only one of two who share it has one; and a
    // fasttracked flow of a shared address cannot be told from the other's.
    let may_share = |one: Way| matches!(one, Way::Bypass);
    if someone.shares_address && may_share(way) && before.is_some_and(|b| !is_fasttracked(b.way)) {
        config.address = Some(address(number - 1));
    } else {
        config.address = Some(address(number));
    }
    let is_ending = |role| matches!(role, Role::Ends(_));
    let ends_in = match role {
        Role::Ends(later) => DEADLINE + Duration::from_millis(later.into()),
        Role::Lives | Role::Stray | Role::Lent => DEADLINE * 100,
    };
    let own = BTreeSet::from([mac(number)]);
    match role {
        Role::Ends(_) | Role::Lives => {
            world.subscribe(site, name, &[mac(number)], ends_in).await;
        }
        Role::Lent => {
            let owner = format!("owner of {number}");
            world
                .subscribe(site, &owner, &[mac(number)], DEADLINE)
                .await;
        }
        Role::Stray => {}
    }
    // What a lent device has by its own MAC is its owner's, and goes with him.
    let by_mac = !matches!(way, Way::Account | Way::Plus | Way::Fasttrack);
    let goes = is_ending(role) || role == Role::Lent && by_mac;
    if goes {
        ours.names.insert(config.name.clone());
        ours.macs.extend(&own);
    }
    if role == Role::Lent {
        ours.macs.extend(&own);
    }
    let odd = mac(number).to_string().to_lowercase().replace(':', "-");
    let client = site.with(|sim| {
        let client = sim.add_client(config);
        match someone.extra {
            Extra::Nothing => {}
            Extra::OddSpelling => {
                sim.add_user(&odd, "x").expect("a new name");
                if is_ending(role) || role == Role::Lent {
                    ours.names.insert(odd);
                }
            }
            Extra::Namesake => {
                let unknown = mac(number + 500);
                sim.add_binding(unknown, BindingKind::Bypassed, name);
                if is_ending(role) && ours.comments {
                    ours.macs.insert(unknown);
                }
            }
            Extra::Disabled => {
                let other = format!("++{name}");
                sim.add_user(&other, "x").expect("a new name");
                sim.set_user_disabled(&other, true).expect("it is there");
            }
        }
        client
    });
    let fate = match role {
        Role::Ends(_) => Fate::Off(ends_in),
        Role::Lent if by_mac => Fate::Off(DEADLINE),
        Role::Lent | Role::Lives | Role::Stray => Fate::Untouched,
    };
    (client, fate)
}

/// The ids of all tracked connections.
fn connections(site: &Site) -> BTreeSet<String> {
    let rows = site.with(|sim| sim.table("/ip/firewall/connection"));
    rows.into_iter().map(|row| row[".id"].clone()).collect()
}

fn is_fasttracked(way: Way) -> bool {
    matches!(way, Way::Fasttrack | Way::BypassFasttrack)
}

fn address(number: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 5, 50, 0)) + u32::from(number))
}

/// Whose rows may change: accounts by name, bindings by device.
#[derive(Debug, Default)]
struct Rows {
    names: BTreeSet<String>,
    macs: BTreeSet<MacAddr>,
    /// Whether bindings also belong to the name that is their comment.
    comments: bool,
}

impl Rows {
    /// All accounts and bindings of others, and whether they are disabled.
    fn others(&self, site: &Site) -> BTreeMap<String, bool> {
        let users = site.with(|sim| sim.users());
        let users = users
            .into_iter()
            .filter(|user| !self.names.contains(&user.name));
        let bindings = site.with(|sim| sim.table("/ip/hotspot/ip-binding"));
        let bindings = bindings.into_iter().filter(|row| {
            let mac = row["mac-address"].parse().expect("a MAC");
            !self.macs.contains(&mac)
        });
        let users = users.map(|user| (user.name, user.disabled));
        let of_binding = |row: Row| {
            let disabled = row.get("disabled").is_some_and(|flag| flag == "true");
            (row["mac-address"].clone(), disabled)
        };
        users.chain(bindings.map(of_binding)).collect()
    }
}
