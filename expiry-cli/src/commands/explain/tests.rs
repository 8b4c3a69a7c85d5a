mod hindrances;

use std::time::Duration;

use expiry_core::{
    AuditEntry, AuditEvent, AuditId, AuditKind, ExplainedRouter, ExplainedTarget, ExplainedUndo,
    GatewayError, MacAddr, MockAuditStore, MockDirectory, Progress, Revision, RouterId, Service,
    Subscriber, SubscriberId, TaskId, Tenant, Trouble, Undo, UndoItem, UndoKey, WatcherId,
    WatcherKind, WayIn,
};

use super::*;
use crate::error;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("in range")
}

/// Three minutes ago.
fn ended() -> DateTime<Utc> {
    at(-180)
}

fn mac() -> MacAddr {
    "AA:BB:CC:DD:EE:01".parse().expect("a MAC")
}

fn subscriber(access: Access) -> Subscriber {
    Subscriber {
        id: SubscriberId(1),
        tenant: None,
        username: "255700000001".parse().expect("a name"),
        service: Service::Hotspot,
        access,
        revision: Revision(4),
        router: None,
        devices: [mac()].into(),
    }
}

fn router(name: &str) -> ExplainedRouter {
    ExplainedRouter {
        id: RouterId(1),
        name: name.into(),
        in_scope: true,
        enabled: true,
        owner: Some(WatcherId::fresh()),
        down_since: None,
        attempted_at: Some(at(-1)),
        last_error: None,
        targets: Vec::new(),
        undo: Vec::new(),
    }
}

fn target(want: Want) -> ExplainedTarget {
    ExplainedTarget {
        task: TaskId(1),
        device: None,
        want,
        revision: Revision(4),
        due_at: ended(),
        known_late_at: None,
        progress: Progress::owed(ended()),
        cannot_hold: false,
        attempted_at: None,
    }
}

fn cut_confirmed() -> ExplainedTarget {
    let mut cut = target(Want::Cut);
    cut.progress.state = State::Confirmed;
    cut.progress.next_attempt_at = None;
    cut.progress.confirmed_at = Some(ended() + Duration::from_millis(41));
    cut
}

fn explained(access: Access, routers: Vec<ExplainedRouter>) -> Explained {
    Explained {
        subscriber: subscriber(access),
        removed_at: None,
        routers,
        events: Vec::new(),
    }
}

fn explanation(subscribers: Vec<Explained>, alive: bool) -> Explanation {
    Explanation {
        now: at(0),
        brakes: Vec::new(),
        watchers: vec![WatcherStatus {
            id: WatcherId::fresh(),
            kind: WatcherKind::Watcher,
            heartbeat_at: at(-1),
            alive,
            machine: None,
            braked: false,
            interval: None,
        }],
        subscribers,
        former: Vec::new(),
    }
}

/// What is said of one subscriber, without title and devices.
fn told_of(one: Explained, alive: bool) -> Vec<String> {
    let mut view = View::new(explanation(vec![one], alive), None, &RetryPolicy::default());
    let mut text = view.subscribers.remove(0).text;
    text.remove(0);
    text.remove(1);
    text
}

fn told(access: Access, routers: Vec<ExplainedRouter>) -> Vec<String> {
    told_of(explained(access, routers), true)
}

#[test]
fn access_that_goes_on_says_until_when_and_where_it_is_cut_then() {
    let routers = vec![router("hill"), router("tower")];
    let text = told(Access::Until(at(7_200)), routers);
    assert_eq!(
        text,
        [
            "Access goes on until 2027-01-15 10:00:00 UTC, in 2 hours.",
            "Router hill: the subscriber may be online there; nothing is owed.",
            "Router tower: the subscriber may be online there; nothing is owed.",
            "Next: access ends in 2 hours, and is then cut on hill and tower.",
        ]
    );
}

#[test]
fn access_without_end_and_no_access_at_all_have_nothing_ahead() {
    let forever = told(Access::Forever, vec![router("tower")]);
    assert_eq!(forever[0], "Access has no end.");
    assert_eq!(forever[2], "Next: nothing; nobody cuts this subscriber.");
    let none = told(Access::None, vec![router("tower")]);
    assert_eq!(
        none,
        [
            "There is no access: nobody is let in, and nobody is cut.",
            "Router tower: nothing is owed.",
            "Next: nothing, until access is bought.",
        ]
    );
}

#[test]
fn a_confirmed_cut_says_how_long_it_took_and_what_was_disabled() {
    let mut tower = router("tower");
    let mut cut = cut_confirmed();
    cut.progress.looks = 2;
    cut.progress.verify_at = Some(at(5));
    tower.targets.push(cut);
    let item = UndoItem::User {
        name: "+255700000001".into(),
        server: None,
    };
    let binding = UndoItem::IpBinding {
        mac: Some(mac()),
        address: Some("10.5.50.7".into()),
        to_address: None,
        server: None,
        kind: expiry_core::BindingKind::Bypassed,
        comment: None,
    };
    let stays = UndoItem::User {
        name: "255700000001".into(),
        server: None,
    };
    tower.undo.push(ExplainedUndo {
        undo: Undo {
            stay: vec![stays],
            ..Undo::new(UndoKey::Mac(mac()), vec![item, binding])
        },
        opened_at: ended(),
        undone_at: None,
    });
    let text = told(Access::Until(ended()), vec![tower]);
    assert_eq!(
        text,
        [
            "Access ended 2027-01-15 07:57:00 UTC, 3 minutes ago.",
            "Router tower: the cut was confirmed 41 ms after the end, at 2027-01-15 07:57:00 UTC. \
             Looked at again twice and still off, the next look is in 5 seconds. Disabled there \
             by us: account `+255700000001` and binding AA:BB:CC:DD:EE:01 10.5.50.7. Disabled \
             there before, and left so: account `255700000001`.",
            "Next: confirmed off on every router in service; another look to make sure in 5 \
             seconds.",
        ]
    );
}

#[test]
fn one_name_on_two_servers_is_told_apart_by_the_server() {
    let on = |server: Option<&str>| UndoItem::User {
        name: "joe".into(),
        server: server.map(Into::into),
    };
    let mut tower = router("tower");
    tower.targets.push(cut_confirmed());
    tower.undo.push(ExplainedUndo {
        undo: Undo::new(
            UndoKey::Mac(mac()),
            vec![on(Some("hall")), on(Some("yard")), on(Some("all"))],
        ),
        opened_at: ended(),
        undone_at: None,
    });
    let text = told(Access::Until(ended()), vec![tower]);
    let expected = "Disabled there by us: account `joe` of server `hall`, account `joe` of server \
                    `yard` and account `joe`.";
    assert!(text[1].ends_with(expected), "{text:?}");
}

#[test]
fn after_the_last_look_nothing_is_ahead() {
    let mut tower = router("tower");
    tower.targets.push(cut_confirmed());
    let text = told(Access::Until(ended()), vec![tower]);
    let next = "Next: nothing, until access is bought; confirmed off on every router in service.";
    assert_eq!(text[2], next);
}

#[test]
fn what_cannot_hold_says_the_way_in_and_how_to_close_it() {
    let mut tower = router("tower");
    let mut cut = target(Want::Cut);
    cut.cannot_hold = true;
    cut.progress.returns = 3;
    cut.progress.way_in = Some(WayIn::Trial);
    cut.progress.online = true;
    cut.progress.last_error = Some("it did not hold".into());
    cut.progress.next_attempt_at = Some(at(21));
    tower.targets.push(cut);
    let text = told(Access::Until(ended()), vec![tower]);
    let way = "The cut CANNOT HOLD: it came back 3 times by trial: take `trial` out of `login-by` \
               of the server profile. The next attempt is in 21 seconds.";
    assert!(text[1].ends_with(way), "{text:?}");
}

#[test]
fn r3_a_restore_that_is_owed_comes_before_the_next_end() {
    let mut tower = router("tower");
    let mut restore = target(Want::Restore);
    restore.due_at = at(-2);
    tower.targets.push(restore.clone());
    let text = told(Access::Until(at(3_600)), vec![tower.clone()]);
    assert_eq!(
        text[1..],
        [
            "Router tower: the restore is owed since 2027-01-15 07:59:58 UTC, 2 seconds ago. The \
             next attempt is due now.",
            "Next: what was disabled on tower is enabled again.",
        ]
    );
    restore.progress.state = State::Confirmed;
    restore.progress.confirmed_at = Some(at(-1));
    tower.targets = vec![restore];
    let text = told(Access::Until(at(3_600)), vec![tower]);
    let done = "Router tower: the restore was confirmed 1 second after the payment, at 2027-01-15 \
                07:59:59 UTC.";
    assert_eq!(text[1], done);
}

#[test]
fn r2_a_removed_device_of_somebody_live_is_cut_by_itself() {
    let mut tower = router("tower");
    tower.targets.push(ExplainedTarget {
        device: Some(mac()),
        ..target(Want::Cut)
    });
    let text = told(Access::Forever, vec![tower]);
    let part = "The cut of AA:BB:CC:DD:EE:01, a device that was removed, is owed since";
    assert!(text[1].contains(part), "{text:?}");
    assert!(
        text[2].starts_with("Next: the cut of what was removed on tower goes on"),
        "{text:?}"
    );
}

#[test]
fn r2_a_removed_subscriber_is_told_after_who_has_the_name_now() {
    let mut tower = router("tower");
    tower.targets.push(target(Want::Cut));
    let gone = Explained {
        removed_at: Some(ended()),
        ..explained(Access::Until(ended()), vec![tower])
    };
    let now = explained(Access::Forever, vec![router("tower")]);
    let view = View::new(
        explanation(vec![now, gone], true),
        Some("acme"),
        &RetryPolicy::default(),
    );
    let text = view.to_string();
    let title = "255700000001 of tenant acme, hotspot, revision 4, at 2027-01-15 08:00:00 UTC\n";
    assert_eq!(text.matches(title).count(), 2, "{text}");
    let removed = "\n\n255700000001 of tenant acme, hotspot, revision 4, at 2027-01-15 08:00:00 \
                   UTC\nThe subscriber was removed 2027-01-15 07:57:00 UTC, 3 minutes ago, and \
                   access ended with that.\n1 device: AA:BB:CC:DD:EE:01.\n";
    assert!(text.contains(removed), "{text}");
}

#[test]
fn what_happened_comes_last_oldest_first() {
    let of = |kind, seconds| AuditEvent {
        id: AuditId::START,
        at: at(seconds),
        entry: AuditEntry::of(&subscriber(Access::None), kind),
    };
    let mut cut = of(AuditKind::CutConfirmed, -179);
    cut.entry.router_name = Some("tower".into());
    cut.entry.lag = Some(Duration::from_millis(41));
    let mut late = cut.clone();
    late.entry.outage = true;
    let mut device = of(
        AuditKind::DeviceAdded {
            revision: Revision(2),
        },
        -100,
    );
    device.entry.device = Some(mac());
    let changed = AuditKind::AccessChanged {
        from: Access::None,
        to: Access::Until(ended()),
        revision: Revision(3),
    };
    let way_in = Some(WayIn::Trial);
    let mut one = explained(Access::Until(ended()), Vec::new());
    one.events = vec![
        of(changed, -400),
        of(AuditKind::AccessEnded, -180),
        cut,
        late,
        device,
        of(AuditKind::CannotHold { way_in }, -99),
    ];
    let text = View::new(explanation(vec![one], true), None, &RetryPolicy::default()).to_string();
    let (_, events) = text
        .split_once("What happened, latest last:\n")
        .expect("told");
    let lines: Vec<_> = events.lines().map(|line| line.split_at(27).1).collect();
    assert_eq!(
        lines,
        [
            "access changed from none to an end at 2027-01-15 07:57:00 UTC",
            "access ended",
            "cut confirmed on tower, after 41 ms",
            "cut confirmed on tower, after 41 ms, the router having been down",
            "device added: AA:BB:CC:DD:EE:01",
            "came back once more (by trial), the cut cannot hold",
        ]
    );
}

fn who(tenant: Option<&str>) -> Who {
    Who {
        username: "255700000001".parse().expect("a name"),
        tenant: tenant.map(Into::into),
    }
}

async fn output(
    who: &Who,
    directory: &MockDirectory,
    answer: Explanation,
    json: bool,
) -> Result<String, CliError> {
    let mut audit = MockAuditStore::new();
    audit.expect_explain().return_once(|_, _, _| Ok(answer));
    let mut bytes = Vec::new();
    run(
        who,
        &RetryPolicy::default(),
        directory,
        &audit,
        &mut Output::new(&mut bytes, json),
    )
    .await?;
    Ok(String::from_utf8(bytes).expect("text"))
}

#[tokio::test]
async fn json_has_everything_and_the_text() {
    let mut tower = router("tower");
    tower.targets.push(cut_confirmed());
    let one = explained(Access::Until(ended()), vec![tower]);
    let answer = explanation(vec![one], true);
    let text = output(&who(None), &MockDirectory::new(), answer, true).await;
    let value: serde_json::Value = serde_json::from_str(&text.expect("done")).expect("JSON");
    let one = &value["subscribers"][0];
    assert_eq!(one["subscriber"]["username"], "255700000001");
    assert_eq!(one["subscriber"]["access"]["at"], "2027-01-15T07:57:00Z");
    let target = &one["routers"][0]["targets"][0];
    assert_eq!(
        (&target["want"], &target["state"]),
        (&"cut".into(), &"confirmed".into())
    );
    assert_eq!(one["text"].as_array().map(Vec::len), Some(5));
    assert_eq!(value["watchers"][0]["alive"], true);
}

#[tokio::test]
async fn an_unknown_name_is_1_and_says_who_may_have_been_meant() {
    let mut directory = MockDirectory::new();
    let tenant = Tenant {
        id: TenantId(7),
        slug: "cafe".into(),
        name: "Café".into(),
    };
    directory
        .expect_tenants()
        .returning(move || Ok(vec![tenant.clone()]));
    directory
        .expect_subscriber()
        .returning(|tenant, _| Ok(tenant.map(|_| subscriber(Access::Forever))));
    directory.expect_subscribers().returning(|_, after, _| {
        let near = Subscriber {
            username: "255700000010".parse().expect("a name"),
            ..subscriber(Access::None)
        };
        Ok(if after.0 == 0 { vec![near] } else { Vec::new() })
    });
    let answer = explanation(Vec::new(), true);
    let error = output(&who(None), &directory, answer, false).await;
    let error = error.expect_err("nobody");
    assert_eq!(error.exit_code(), error::FAILED);
    assert_eq!(
        error.to_string(),
        "nobody is named `255700000001` without a tenant; known in tenant `cafe` (give --tenant \
         cafe); the nearest: `255700000010`"
    );
}

#[test]
fn what_is_left_of_an_earlier_subscriber_is_told_by_itself() {
    let entry = AuditEntry::of(&subscriber(Access::Until(ended())), AuditKind::CutConfirmed);
    let event = AuditEvent {
        id: AuditId::START,
        at: at(-5),
        entry,
    };
    let gone = Explanation {
        former: vec![event],
        ..explanation(Vec::new(), true)
    };
    let text = View::new(gone, None, &RetryPolicy::default()).to_string();
    assert!(
        text.starts_with("Earlier, somebody of this name was removed"),
        "{text}"
    );
    assert!(text.ends_with("cut confirmed"), "{text}");
}
