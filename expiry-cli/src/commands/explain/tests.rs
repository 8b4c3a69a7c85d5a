use std::time::Duration;

use expiry_core::{
    AuditEntry, AuditEvent, AuditId, AuditKind, ExplainedRouter, ExplainedTarget, ExplainedUndo,
    GatewayError, MacAddr, MockAuditStore, MockDirectory, Progress, Revision, RouterId, Service,
    Subscriber, SubscriberId, TaskId, Tenant, Undo, UndoItem, UndoKey, WatcherId, WayIn,
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
            heartbeat_at: at(-1),
            alive,
            machine: None,
            braked: false,
        }],
        subscribers,
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
fn r9_the_next_cut_is_not_promised_while_nobody_can_make_it() {
    let live = || {
        explained(
            Access::Until(at(7_200)),
            vec![router("hill"), router("tower")],
        )
    };
    let unwatched = told_of(live(), false);
    assert_eq!(
        unwatched[3],
        "Next: access ends in 2 hours, and is then cut on hill and tower, if a watcher runs by \
         then: none does now, start one with `expiry run`."
    );
    let mut braked = explanation(vec![live()], true);
    braked.brakes = vec![Brake::Share {
        since: at(-5),
        ended: 600,
        subscribers: 1000,
        limit_percent: 50,
    }];
    let text = View::new(braked, None, &RetryPolicy::default()).to_string();
    assert!(
        text.contains("on hill and tower; but all watchers are braked: the cut waits until"),
        "{text}"
    );
    let mut down = live();
    down.routers[0].down_since = Some(at(-60));
    assert_eq!(
        told_of(down, true)[3],
        "Next: access ends in 2 hours, and is then cut on hill and tower, on hill once it answers \
         again."
    );
}

#[test]
fn r9_a_cut_owed_on_a_router_out_of_service_is_told_next_to_the_confirmed() {
    let mut tower = router("tower");
    tower.targets.push(cut_confirmed());
    let mut hill = router("hill");
    hill.enabled = false;
    hill.in_scope = false;
    hill.targets.push(target(Want::Cut));
    let text = told(Access::Until(ended()), vec![hill, tower.clone()]);
    assert_eq!(
        text[3],
        "Next: nothing, until access is bought; confirmed off on every router in service; still \
         owed on hill, once it is back in service."
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
fn after_the_last_look_nothing_is_ahead() {
    let mut tower = router("tower");
    tower.targets.push(cut_confirmed());
    let text = told(Access::Until(ended()), vec![tower]);
    let next = "Next: nothing, until access is bought; confirmed off on every router in service.";
    assert_eq!(text[2], next);
}

#[test]
fn r9_a_cut_on_a_router_that_is_down_says_since_when_and_when_it_is_tried_again() {
    let mut hill = router("hill");
    hill.down_since = Some(at(-300));
    hill.attempted_at = Some(at(-7));
    hill.last_error = Some("no answer for 5 s".into());
    hill.targets.push(target(Want::Cut));
    let text = told(Access::Until(ended()), vec![hill.clone()]);
    assert_eq!(
        text[1..],
        [
            "Router hill: the cut is owed since 2027-01-15 07:57:00 UTC, 3 minutes ago, and \
             no attempt has reached the router yet. It may still be online there. The router has \
             not answered since 2027-01-15 07:55:00 UTC, 5 minutes ago (no answer for 5 s), last \
             tried 7 seconds ago; the watcher tries again within 15 seconds.",
            "Next: the cut on hill goes on until a reading of the router shows nothing left.",
        ]
    );
    hill.down_since = Some(at(-60));
    let text = told(Access::Until(ended()), vec![hill]);
    assert!(text[1].contains("again within 2 seconds"), "{text:?}");
}

#[test]
fn r9_a_router_that_answers_wrongly_is_not_said_to_be_silent() {
    let login = GatewayError::Login {
        message: "invalid user name or password (6)".into(),
    };
    let other = GatewayError::WrongRouter {
        expected: "hill".into(),
        found: "tower".into(),
    };
    let protocol = GatewayError::Protocol {
        reason: "SSH-2.0".into(),
    };
    let timed_out = GatewayError::TimedOut {
        after: Duration::from_secs(5),
    };
    for (error, said, wait) in [
        (login, "The router has refused our login since", "a minute."),
        (
            other,
            "Another box has answered in its place since",
            "a minute.",
        ),
        (
            protocol,
            "The router could not be used since",
            "15 seconds.",
        ),
        (
            timed_out,
            "The router has not answered since",
            "15 seconds.",
        ),
    ] {
        let mut hill = router("hill");
        hill.down_since = Some(at(-300));
        hill.last_error = Some(error.to_string());
        hill.targets.push(target(Want::Cut));
        let text = told(Access::Until(ended()), vec![hill]);
        assert!(text[1].contains(said), "{text:?}");
        assert!(
            text[1].ends_with(&format!("tries again within {wait}")),
            "{text:?}"
        );
    }
}

#[test]
fn r9_a_cut_that_was_tried_says_what_was_left_and_when_it_is_tried_next() {
    let mut tower = router("tower");
    let mut cut = target(Want::Cut);
    cut.progress.attempts = 4;
    cut.progress.online = true;
    cut.progress.last_error = Some("1 session".into());
    cut.progress.next_attempt_at = Some(at(8));
    cut.attempted_at = Some(at(-2));
    tower.targets.push(cut);
    let text = told(Access::Until(ended()), vec![tower]);
    assert_eq!(
        text[1],
        "Router tower: the cut is owed since 2027-01-15 07:57:00 UTC, 3 minutes ago, after 4 \
         attempts. The last reading showed it online. The last attempt, 2 seconds ago, left: 1 \
         session. The next attempt is in 8 seconds."
    );
}

#[test]
fn r9_without_a_watcher_it_says_so_and_how_to_start_one() {
    let mut tower = router("tower");
    tower.owner = None;
    let unplanned = told_of(
        explained(Access::Until(ended()), vec![tower.clone()]),
        false,
    );
    assert_eq!(
        unplanned[1..],
        [
            "Router tower: the cut is owed since 2027-01-15 07:57:00 UTC, 3 minutes ago; no \
             watcher has taken it up yet. No watcher is alive, so nobody does it: start one with \
             `expiry run`.",
            "Next: the cut on tower waits for a watcher: start one with `expiry run`.",
        ]
    );
    tower.targets.push(target(Want::Restore));
    let text = told_of(explained(Access::Until(at(60)), vec![tower.clone()]), false);
    assert!(text[1].contains("No watcher is alive"), "{text:?}");
    assert!(
        text[2].contains("enabled again once a watcher runs"),
        "{text:?}"
    );
    let watched = told(Access::Until(at(60)), vec![tower]);
    assert!(
        watched[1].contains("takes it over within 15 seconds"),
        "{watched:?}"
    );
}

#[test]
fn a_router_out_of_service_says_how_to_bring_it_back() {
    let mut hill = router("hill");
    hill.enabled = false;
    hill.in_scope = false;
    let plain = told(Access::Until(ended()), vec![hill.clone(), router("tower")]);
    assert_eq!(
        plain[1],
        "Router hill: out of service; nothing is done there until `expiry router enable hill`; the \
         cut is made there then."
    );
    assert!(
        plain[3].starts_with("Next: the cut on tower goes on"),
        "{plain:?}"
    );
    hill.targets.push(target(Want::Cut));
    let alone = told(Access::Until(ended()), vec![hill]);
    assert!(
        alone[1].contains("The router is out of service: nothing is done"),
        "{alone:?}"
    );
    let next = "Next: no router is in service for the subscriber, so it is cut nowhere.";
    assert_eq!(alone[2], next);
}

#[test]
fn who_is_bound_to_a_removed_router_is_told_the_way_out() {
    let mut bound = explained(Access::Until(at(60)), Vec::new());
    bound.subscriber.router = Some(RouterId(7));
    let text = told_of(bound, true);
    assert_eq!(
        text[1],
        "Next: the subscriber is bound to a router that was removed, so it is cut nowhere when \
         access ends. Remove it and add it again with another --router, or with none."
    );
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
fn r10_a_brake_says_why_nothing_is_cut() {
    let mut explanation = explanation(
        vec![explained(Access::Until(ended()), vec![router("tower")])],
        true,
    );
    explanation.brakes = vec![Brake::Share {
        since: at(-5),
        ended: 600,
        subscribers: 1000,
        limit_percent: 50,
    }];
    let told = |explanation: &Explanation| {
        View::new(explanation.clone(), None, &RetryPolicy::default()).to_string()
    };
    let text = told(&explanation);
    let why =
        "Nothing is done there, since all watchers are braked: changes ended the access of 600";
    assert!(text.contains(why), "{text}");
    let next = "Next: the cut on tower waits until the brake ends (`expiry brake` says how).";
    assert!(text.contains(next), "{text}");

    // The clock of another machine keeps nobody from cutting.
    explanation.brakes = vec![Brake::Clock {
        machine: "vps2".into(),
        since: at(-5),
        apart_ms: Some(9_000),
        jumped_ms: None,
        agreed_ms: None,
    }];
    let text = told(&explanation);
    assert!(!text.contains("brake"), "{text}");
    explanation.watchers[0].braked = true;
    let text = told(&explanation);
    assert!(text.contains("the clocks of vps2"), "{text}");
}
