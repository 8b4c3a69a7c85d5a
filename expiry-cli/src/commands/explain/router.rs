//! How a subscriber stands on one router.

use std::time::Duration;

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, Cause, ExplainedRouter, ExplainedTarget, State, Step, UndoItem, Want, WayIn,
};

use super::{Case, Watch};
use crate::{
    output::count,
    words::{advice, listed, relative, span, times, utc, when},
};

/// A router without a living owner is taken over by a living watcher within this.
const TAKEOVER: &str = "15 seconds";

pub(super) fn paragraph(case: &Case<'_>, on: &ExplainedRouter) -> String {
    let mut told = Vec::new();
    let own = on.targets.iter().find(|target| target.device.is_none());
    match own {
        Some(target) => told.extend(stands(case, on, target, "the cut")),
        None => told.extend(nothing_stands(case, on)),
    }
    for target in on.targets.iter().filter(|target| target.device.is_some()) {
        let device = target.device.map_or(String::new(), |mac| mac.to_string());
        let what = format!("the cut of {device}, a device that was removed,");
        told.extend(stands(case, on, target, &what));
    }
    told.extend(disabled(on));
    format!("Router {}: {}", on.name, sentences(&told))
}

/// Where no row stands: nothing was begun there.
fn nothing_stands(case: &Case<'_>, on: &ExplainedRouter) -> Vec<String> {
    if !on.enabled {
        return vec![format!("out of service; {}", enable_first(case, on))];
    }
    match case.ended_at() {
        Some(end) if on.in_scope => {
            let mut told = vec![format!(
                "the cut is owed since {}; no watcher has taken it up yet",
                when(end, case.now)
            )];
            told.extend(hindrance(case, on));
            told
        }
        _ if case.of.subscriber.access == Access::None => vec!["nothing is owed".into()],
        _ => {
            let mut told = vec!["the subscriber may be online there; nothing is owed".to_owned()];
            told.extend(on.down_since.map(|since| is_down(case, on, since)));
            told
        }
    }
}

fn stands(
    case: &Case<'_>,
    on: &ExplainedRouter,
    target: &ExplainedTarget,
    cut: &str,
) -> Vec<String> {
    let what = match target.want {
        Want::Cut => cut.to_owned(),
        Want::Restore => "the restore".to_owned(),
    };
    match target.progress.state {
        State::Owed => owed(case, on, target, &what),
        State::Confirmed => confirmed(case, on, target, &what),
    }
}

fn owed(
    case: &Case<'_>,
    on: &ExplainedRouter,
    target: &ExplainedTarget,
    what: &str,
) -> Vec<String> {
    let progress = &target.progress;
    let attempts = match progress.attempts {
        0 if on.down_since.is_some() => ", and no attempt has reached the router yet".into(),
        0 => String::new(),
        n => format!(", after {}", count(n.into(), "attempt")),
    };
    let since = when(target.due_at, case.now);
    let mut told = vec![format!("{what} is owed since {since}{attempts}")];
    told.extend(target.known_late_at.map(|known| {
        let known = when(known, case.now);
        format!("the end was past already when it came to be known, {known}: it has no lag")
    }));
    if target.want == Want::Cut {
        told.push(if progress.online {
            "the last reading showed it online".into()
        } else {
            "it may still be online there".into()
        });
    }
    if target.cannot_hold {
        let way_in = progress.way_in.unwrap_or(WayIn::Unknown);
        told.push(format!(
            "the cut CANNOT HOLD: it came back {} by {}",
            times(progress.returns),
            advice(way_in)
        ));
    }
    let hindrance = hindrance(case, on);
    if hindrance.is_empty() {
        if let (false, Some(error)) = (target.cannot_hold, &progress.last_error) {
            let at = target.attempted_at.map(|at| relative(at, case.now));
            told.push(format!(
                "the last attempt, {}, left: {error}",
                at.unwrap_or_default()
            ));
        }
        let next = progress.next_attempt_at.unwrap_or(case.now);
        told.push(format!("the next attempt is {}", due(next, case.now)));
    }
    // Whoever watches: it is somebody's work at the router.
    told.extend(refusal(on));
    told.extend(hindrance);
    told
}

fn confirmed(
    case: &Case<'_>,
    on: &ExplainedRouter,
    target: &ExplainedTarget,
    what: &str,
) -> Vec<String> {
    let progress = &target.progress;
    let at = progress.confirmed_at.unwrap_or(target.due_at);
    let ended_at = case.ended_at().filter(|_| target.device.is_none());
    let (from, of) = match (target.want, target.known_late_at, ended_at) {
        (Want::Restore, _, _) => (target.due_at, "the payment"),
        (Want::Cut, Some(known), _) => (known, "the end, past already, came to be known"),
        (Want::Cut, None, Some(end)) => (end, "the end"),
        (Want::Cut, None, None) => (target.due_at, "it was owed"),
    };
    let took = span((at - from).to_std().unwrap_or_default());
    let mut told = vec![format!(
        "{what} was confirmed {took} after {of}, at {}",
        utc(at)
    )];
    if progress.returns > 0 {
        let way_in = progress.way_in.unwrap_or(WayIn::Unknown);
        let times = count(progress.returns.into(), "time");
        told.push(format!(
            "before that it came back {times} by {}",
            advice(way_in)
        ));
    }
    let still = match target.want {
        Want::Cut => "off",
        Want::Restore => "enabled",
    };
    let looks = match progress.looks {
        0 => None,
        n => Some(format!("looked at again {} and still {still}", times(n))),
    };
    match (looks, progress.verify_at) {
        (None, None) => {}
        (Some(looks), None) => told.push(looks),
        (looks, Some(at)) => {
            let looks = looks.map_or(String::new(), |looks| looks + ", ");
            told.push(format!("{looks}the next look is {}", due(at, case.now)));
            if at <= case.now {
                told.extend(hindrance(case, on));
            }
        }
    }
    told
}

/// Why nothing is done on a router right now.
fn hindrance(case: &Case<'_>, on: &ExplainedRouter) -> Vec<String> {
    if !on.enabled {
        return vec![format!(
            "the router is out of service: {}",
            enable_first(case, on)
        )];
    }
    let down = on.down_since.map(|since| is_down(case, on, since));
    // To give a password is somebody's work whoever watches.
    let is_password = Cause::in_line(on.last_error.as_deref().unwrap_or_default());
    let is_password = is_password.is_some_and(Cause::is_password);
    let lacking = down.clone().filter(|_| is_password);
    match case.watch {
        Watch::Goes => {}
        Watch::Braked(why) => {
            return vec![format!(
                "nothing is done there, since all watchers are braked: {why}"
            )];
        }
        Watch::Checked(every) => {
            let next = format!("the next check does it: one comes every {}", span(*every));
            return lacking.into_iter().chain([next]).collect();
        }
        Watch::Nobody => {
            let nobody = "no watcher is alive, so nobody does it: start one with `expiryctl run`";
            return lacking.into_iter().chain([nobody.into()]).collect();
        }
    }
    if on.owner.is_none() {
        let unserved = format!("no watcher serves the router; one takes it over within {TAKEOVER}");
        return lacking.into_iter().chain([unserved]).collect();
    }
    down.into_iter().collect()
}

/// Why a router that answers is of no use, and the way out.
fn refusal(on: &ExplainedRouter) -> Option<String> {
    let error = on.last_error.as_deref();
    let error = error.filter(|_| on.enabled && on.down_since.is_none())?;
    let why = Cause::in_line(error)?;
    let (says, way_out) = (why.says(), why.way_out(Some(&on.name)));
    Some(format!(
        "the router answers, and refuses ({error}): {says}; {way_out}"
    ))
}

fn is_down(case: &Case<'_>, on: &ExplainedRouter, since: DateTime<Utc>) -> String {
    let error = on.last_error.as_deref().unwrap_or("no answer");
    let why = Cause::in_line(error);
    let failing = Failing::of(why);
    let since_words = when(since, case.now);
    let tried = on.attempted_at.map_or(String::new(), |at| {
        format!(", last tried {}", relative(at, case.now))
    });
    let again = if *case.watch == Watch::Goes {
        let down_for = (case.now - since).to_std().unwrap_or_default();
        let within = match failing {
            Failing::Silent | Failing::Unclear => span(case.retry.longest_wait(down_for)),
            Failing::Password | Failing::Login | Failing::OtherBox | Failing::SameBox => {
                "a minute".into()
            }
        };
        format!("; the watcher tries again within {within}")
    } else {
        String::new()
    };
    let how = match failing {
        Failing::Silent => "the router has not answered",
        Failing::Password => "nobody could log in to the router",
        Failing::Login => "the router has refused our login",
        Failing::OtherBox => "another box has answered in its place",
        Failing::SameBox => "the router has not been served",
        Failing::Unclear => "the router could not be used",
    };
    let meaning = why.map_or(String::new(), |why| {
        format!(": {}; {}", why.says(), why.way_out(Some(&on.name)))
    });
    format!("{how} since {since_words} ({error}){tried}{again}{meaning}")
}

/// How a router fails.
#[derive(Clone, Copy)]
enum Failing {
    Silent,
    Password,
    Login,
    OtherBox,
    SameBox,
    Unclear,
}

impl Failing {
    fn of(cause: Option<Cause>) -> Self {
        let Some(cause) = cause else {
            return Self::Unclear;
        };
        match (cause, cause.step()) {
            (Cause::SameBox, _) => Self::SameBox,
            (cause, _) if cause.is_password() => Self::Password,
            (Cause::LoginSilent | Cause::ConnectionLost | Cause::AnswerTimedOut, _)
            | (_, Step::NameLookup | Step::Connect) => Self::Silent,
            (_, Step::Login) => Self::Login,
            (_, Step::Recognise) => Self::OtherBox,
            (_, Step::Talk | Step::Read | Step::Write) => Self::Unclear,
        }
    }
}

fn enable_first(case: &Case<'_>, on: &ExplainedRouter) -> String {
    let then = if case.ended_at().is_some() {
        "; the cut is made there then"
    } else {
        ""
    };
    format!(
        "nothing is done there until `expiryctl router enable {}`{then}",
        on.name
    )
}

/// What we disabled there, and what of that is enabled again.
fn disabled(on: &ExplainedRouter) -> Vec<String> {
    let rows = |is_open: bool| {
        let rows = on
            .undo
            .iter()
            .filter(move |row| row.undone_at.is_none() == is_open);
        let items = rows.flat_map(|row| &row.undo.items).map(item);
        items.collect::<Vec<_>>()
    };
    let (open, undone) = (rows(true), rows(false));
    let mut told = Vec::new();
    if !open.is_empty() {
        let is_owed =
            |of: &ExplainedTarget| of.want == Want::Cut && of.progress.state == State::Owed;
        let done = if on.targets.iter().any(is_owed) {
            "disabled there by us, or about to be"
        } else {
            "disabled there by us"
        };
        told.push(format!("{done}: {}", listed(&open)));
    }
    if !undone.is_empty() {
        told.push(format!("enabled there again: {}", listed(&undone)));
    }
    let stay: Vec<_> = on
        .undo
        .iter()
        .flat_map(|row| &row.undo.stay)
        .map(item)
        .collect();
    if !stay.is_empty() {
        told.push(format!(
            "disabled there before, and left so: {}",
            listed(&stay)
        ));
    }
    told
}

fn item(item: &UndoItem) -> String {
    match item {
        UndoItem::User { name, server } => {
            format!("account `{name}`{}", on_server(server.as_deref()))
        }
        UndoItem::IpBinding {
            mac,
            address,
            server,
            ..
        } => {
            let mac = mac.map(|mac| mac.to_string());
            let parts: Vec<_> = mac.into_iter().chain(address.clone()).collect();
            format!(
                "binding {}{}",
                parts.join(" "),
                on_server(server.as_deref())
            )
        }
    }
}

/// Names the hotspot server that a row is limited to: one name may stand once for each.
fn on_server(server: Option<&str>) -> String {
    match server {
        None | Some("" | "all") => String::new(),
        Some(server) => format!(" of server `{server}`"),
    }
}

/// Says when something is next, which may be overdue.
fn due(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if at > now + Duration::from_secs(1) {
        relative(at, now)
    } else {
        "due now".into()
    }
}

/// Joins sentences that begin in lower case.
fn sentences(told: &[String]) -> String {
    let mut text = String::new();
    for (at, sentence) in told.iter().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        let mut letters = sentence.chars();
        if at > 0 {
            text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        }
        text.push_str(letters.as_str());
        text.push('.');
    }
    text
}
