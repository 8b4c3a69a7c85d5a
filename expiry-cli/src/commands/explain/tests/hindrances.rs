//! What keeps a cut from being made.

use super::*;

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
         then: none does now, start one with `expiryctl run`."
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
fn r9_a_cut_on_a_router_that_is_down_says_since_when_and_when_it_is_tried_again() {
    let mut hill = router("hill");
    hill.down_since = Some(at(-300));
    hill.attempted_at = Some(at(-7));
    hill.last_error = Some("no answer for 5 s [answer_timeout]".into());
    hill.targets.push(target(Want::Cut));
    let text = told(Access::Until(ended()), vec![hill.clone()]);
    assert_eq!(
        text[1..],
        [
            "Router hill: the cut is owed since 2027-01-15 07:57:00 UTC, 3 minutes ago, and \
             no attempt has reached the router yet. It may still be online there. The router has \
             not answered since 2027-01-15 07:55:00 UTC, 5 minutes ago (no answer for 5 s [answer_timeout]), last \
             tried 7 seconds ago; the watcher tries again within 15 seconds: the router let us in \
             and then did not answer in time; is the router very busy (`/system resource print`), \
             or the link bad? Routers that are always slow need longer times in `[gateway]` of the \
             configuration.",
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
        (login, "The router has refused our login since", "a minute"),
        (
            other,
            "Another box has answered in its place since",
            "a minute",
        ),
        (protocol, "The router could not be used since", "15 seconds"),
        (timed_out, "The router has not answered since", "15 seconds"),
    ] {
        let mut hill = router("hill");
        hill.down_since = Some(at(-300));
        hill.last_error = Some(Trouble::from(error.clone()).line());
        hill.targets.push(target(Want::Cut));
        let text = told(Access::Until(ended()), vec![hill]);
        assert!(text[1].contains(said), "{text:?}");
        let again = format!("tries again within {wait}: {}", error.cause().says());
        assert!(text[1].contains(&again), "{text:?}");
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
             `expiryctl run`.",
            "Next: the cut on tower waits for a watcher: start one with `expiryctl run`.",
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
        "Router hill: out of service; nothing is done there until `expiryctl router enable hill`; \
         the cut is made there then."
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
    let next = "Next: the cut on tower waits until the brake ends (`expiryctl brake` says how).";
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
