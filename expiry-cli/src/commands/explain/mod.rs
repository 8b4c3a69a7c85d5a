//! Why a subscriber is or is not online, and what happens next, in words that can be read aloud.

pub(crate) use self::events::told;

mod events;
mod router;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use expiry_core::{
    Access, AuditEvent, AuditStore, Brake, Directory, Explained, Explanation, RetryPolicy, State,
    TenantId, Want, WatcherStatus,
};
use serde::Serialize;

use super::find;
use crate::{
    args::Who,
    error::CliError,
    output::{Output, count},
    words::{listed, relative, utc, when},
};

/// Most events that are told.
const EVENTS: u32 = 20;

pub(super) async fn run(
    who: &Who,
    retry: &RetryPolicy,
    directory: &dyn Directory,
    audit: &dyn AuditStore,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let tenant = find::tenant(directory, who.tenant.as_deref()).await?;
    let id: Option<TenantId> = tenant.map(|tenant| tenant.id);
    let explanation = audit.explain(id, &who.username, EVENTS).await?;
    if explanation.subscribers.is_empty() && explanation.former.is_empty() {
        return Err(CliError::NobodyOfThatName {
            username: who.username.clone(),
            tenant: who.tenant.clone(),
            hint: super::nearest::hint(directory, id, &who.username).await,
        });
    }
    Ok(out.show(&View::new(explanation, who.tenant.as_deref(), retry))?)
}

/// An explanation with the words for it.
#[derive(Debug, Serialize)]
struct View {
    now: DateTime<Utc>,
    brakes: Vec<Brake>,
    watchers: Vec<WatcherStatus>,
    subscribers: Vec<Told>,
    former: Vec<AuditEvent>,
}

#[derive(Debug, Serialize)]
struct Told {
    /// The tenant's slug.
    tenant: Option<String>,
    #[serde(flatten)]
    explained: Explained,
    /// What the text says, a paragraph each.
    text: Vec<String>,
}

/// Says of each subscriber why it is or is not online, and what happens next.
pub(crate) fn explained(
    explanation: &Explanation,
    tenant: Option<&str>,
    retry: &RetryPolicy,
) -> Vec<Vec<String>> {
    let watch = Watch::of(&explanation.watchers, &explanation.brakes, explanation.now);
    let cases = explanation.subscribers.iter().map(|of| Case {
        of,
        now: explanation.now,
        watch: &watch,
        retry,
    });
    cases.map(|case| case.paragraphs(tenant)).collect()
}

impl View {
    fn new(explanation: Explanation, tenant: Option<&str>, retry: &RetryPolicy) -> Self {
        let texts = explained(&explanation, tenant, retry);
        let Explanation {
            now,
            brakes,
            watchers,
            subscribers,
            former,
        } = explanation;
        let told = subscribers.into_iter().zip(texts);
        let told = told.map(|(explained, text)| Told {
            tenant: tenant.map(Into::into),
            text,
            explained,
        });
        Self {
            now,
            subscribers: told.collect(),
            brakes,
            watchers,
            former,
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, told) in self.subscribers.iter().enumerate() {
            if at > 0 {
                write!(f, "\n\n")?;
            }
            write!(f, "{}", told.text.join("\n"))?;
            if !told.explained.events.is_empty() {
                write!(f, "\nWhat happened, latest last:")?;
            }
            list(f, &told.explained.events)?;
        }
        if self.former.is_empty() {
            return Ok(());
        }
        if !self.subscribers.is_empty() {
            write!(f, "\n\n")?;
        }
        write!(
            f,
            "Earlier, somebody of this name was removed, of whom nothing is owed any more. What \
             happened, latest last:"
        )?;
        list(f, &self.former)
    }
}

fn list(f: &mut fmt::Formatter<'_>, events: &[AuditEvent]) -> fmt::Result {
    for event in events {
        write!(f, "\n  {}  {}", utc(event.at), told(event))?;
    }
    Ok(())
}

/// Whether anybody makes cuts.
#[derive(Debug, PartialEq, Eq)]
enum Watch {
    Goes,
    /// Watchers are alive, but none may cut; says why.
    Braked(String),
    /// Nobody is there now, but a check comes this often.
    Checked(Duration),
    Nobody,
}

impl Watch {
    fn of(watchers: &[WatcherStatus], brakes: &[Brake], now: DateTime<Utc>) -> Self {
        let mut alive = watchers.iter().filter(|one| one.watches()).peekable();
        if alive.peek().is_none() {
            let checks = watchers.iter();
            let every = checks.filter_map(|one| one.comes_again(now)).min();
            return every.map_or(Self::Nobody, Self::Checked);
        }
        let is_share = |brake: &Brake| matches!(brake, Brake::Share { .. });
        let may_cut = alive.any(|watcher| !watcher.braked) && !brakes.iter().any(is_share);
        if brakes.is_empty() || may_cut {
            return Self::Goes;
        }
        let brakes: Vec<_> = brakes.iter().map(ToString::to_string).collect();
        Self::Braked(listed(&brakes))
    }
}

/// One subscriber at one instant.
struct Case<'a> {
    of: &'a Explained,
    now: DateTime<Utc>,
    watch: &'a Watch,
    /// How often a router that does not answer is tried.
    retry: &'a RetryPolicy,
}

impl Case<'_> {
    fn paragraphs(&self, tenant: Option<&str>) -> Vec<String> {
        let mut told = vec![self.title(tenant), self.access(), self.devices()];
        told.extend(self.of.routers.iter().map(|on| router::paragraph(self, on)));
        told.push(self.next());
        told
    }

    fn title(&self, tenant: Option<&str>) -> String {
        let subscriber = &self.of.subscriber;
        let tenant = tenant.map_or(String::new(), |tenant| format!(" of tenant {tenant}"));
        format!(
            "{}{tenant}, {}, revision {}, at {}",
            subscriber.username,
            subscriber.service,
            subscriber.revision,
            utc(self.now)
        )
    }

    fn is_live(&self) -> bool {
        self.of.removed_at.is_none() && self.of.subscriber.access.is_live(self.now)
    }

    /// When access ended, if it did.
    fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.of.subscriber.access.end().filter(|_| !self.is_live())
    }

    fn access(&self) -> String {
        if let Some(at) = self.of.removed_at {
            let at = when(at, self.now);
            return format!("The subscriber was removed {at}, and access ended with that.");
        }
        match self.of.subscriber.access {
            Access::None => "There is no access: nobody is let in, and nobody is cut.".into(),
            Access::Forever => "Access has no end.".into(),
            Access::Until(end) if self.is_live() => {
                format!("Access goes on until {}.", when(end, self.now))
            }
            Access::Until(end) => format!("Access ended {}.", when(end, self.now)),
        }
    }

    fn devices(&self) -> String {
        let devices = &self.of.subscriber.devices;
        let names: Vec<_> = devices.iter().map(ToString::to_string).collect();
        match names.len() {
            0 => "No device is known; only the account is.".into(),
            n => format!("{}: {}.", count(n as u64, "device"), listed(&names)),
        }
    }

    fn next(&self) -> String {
        let in_scope = self.of.routers.iter().filter(|on| on.in_scope);
        let names: Vec<_> = in_scope.map(|on| on.name.clone()).collect();
        if names.is_empty() && self.of.subscriber.access != Access::None {
            return format!("Next: {}", self.out_of_scope());
        }
        let left = self.left(State::Owed, Want::Cut);
        let owed = self.left(State::Owed, Want::Restore);
        if !left.is_empty() {
            let tried = match self.watch {
                Watch::Goes => "goes on until a reading of the router shows nothing left",
                Watch::Braked(_) => "waits until the brake ends (`expiryctl brake` says how)",
                Watch::Checked(_) => "waits for the next check, which cron starts",
                Watch::Nobody => "waits for a watcher: start one with `expiryctl run`",
            };
            let cut = if self.is_live() {
                "the cut of what was removed"
            } else {
                "the cut"
            };
            return format!("Next: {cut} on {} {tried}.", listed(&left));
        }
        if !owed.is_empty() {
            return format!(
                "Next: what was disabled on {} is enabled again{}.",
                listed(&owed),
                match self.watch {
                    Watch::Goes => "",
                    Watch::Braked(_) => " once the brake ends (`expiryctl brake` says how)",
                    Watch::Checked(_) => " by the next check, which cron starts",
                    Watch::Nobody => " once a watcher runs: start one with `expiryctl run`",
                }
            );
        }
        match (self.is_live(), self.of.subscriber.access.end()) {
            (true, Some(end)) => format!(
                "Next: access ends {}, and is then cut on {}{}{}.",
                relative(end, self.now),
                listed(&names),
                self.once_up(),
                match self.watch {
                    Watch::Goes => "",
                    Watch::Braked(_) => {
                        "; but all watchers are braked: the cut waits until the brake ends \
                         (`expiryctl brake` says how)"
                    }
                    Watch::Checked(_) => " by the next check after that, which cron starts",
                    Watch::Nobody => {
                        ", if a watcher runs by then: none does now, start one with `expiryctl run`"
                    }
                }
            ),
            (true, None) => "Next: nothing; nobody cuts this subscriber.".into(),
            (false, None) => "Next: nothing, until access is bought.".into(),
            (false, Some(_)) => {
                let later = self.owed_later();
                match self.next_look() {
                    Some(at) => {
                        let at = relative(at, self.now);
                        format!(
                            "Next: confirmed off on every router in service; another look to make \
                             sure {at}{later}."
                        )
                    }
                    None => format!(
                        "Next: nothing, until access is bought; confirmed off on every router in \
                         service{later}."
                    ),
                }
            }
        }
    }

    /// Which of the routers of the next cut are down now.
    fn once_up(&self) -> String {
        let routers = self.of.routers.iter().filter(|on| on.in_scope);
        let down = routers.filter(|on| on.down_since.is_some());
        let down: Vec<_> = down.map(|on| on.name.clone()).collect();
        match down.len() {
            0 => String::new(),
            1 => format!(", on {} once it answers again", down[0]),
            _ => format!(", on {} once they answer again", listed(&down)),
        }
    }

    /// Where a cut was owed when the router was taken out of service.
    fn owed_later(&self) -> String {
        let is_owed = |target: &expiry_core::ExplainedTarget| {
            target.progress.state == State::Owed && target.want == Want::Cut
        };
        let off = self.of.routers.iter().filter(|on| !on.enabled);
        let owed = off.filter(|on| on.targets.iter().any(is_owed));
        let owed: Vec<_> = owed.map(|on| on.name.clone()).collect();
        match owed.len() {
            0 => String::new(),
            1 => format!("; still owed on {}, once it is back in service", owed[0]),
            _ => format!(
                "; still owed on {}, once they are back in service",
                listed(&owed)
            ),
        }
    }

    /// The routers in scope where something is left to do. A cut is owed from the instant access
    /// ended, planned or not.
    fn left(&self, state: State, want: Want) -> Vec<String> {
        let is_ended = self.ended_at().is_some();
        let is_left = |on: &&expiry_core::ExplainedRouter| {
            let mut targets = on.targets.iter();
            let unplanned = want == Want::Cut && is_ended && on.targets.is_empty() && on.in_scope;
            let is_such = |target: &expiry_core::ExplainedTarget| {
                target.progress.state == state && target.want == want
            };
            on.enabled && targets.any(is_such) || unplanned
        };
        let routers = self.of.routers.iter().filter(is_left);
        routers.map(|on| on.name.clone()).collect()
    }

    fn next_look(&self) -> Option<DateTime<Utc>> {
        let targets = self.of.routers.iter().flat_map(|on| &on.targets);
        targets.filter_map(|target| target.progress.verify_at).min()
    }

    fn out_of_scope(&self) -> String {
        let bound = self.of.subscriber.router;
        let is_known = |id| self.of.routers.iter().any(|on| on.id == id);
        let until = if self.is_live() {
            " when access ends"
        } else {
            ""
        };
        match bound {
            Some(id) if !is_known(id) => format!(
                "the subscriber is bound to a router that was removed, so it is cut \
                 nowhere{until}. Remove it and add it again with another --router, or with none."
            ),
            Some(_) => format!(
                "the one router that the subscriber is bound to is out of service, so it is cut \
                 nowhere{until}."
            ),
            None => {
                format!("no router is in service for the subscriber, so it is cut nowhere{until}.")
            }
        }
    }
}

#[cfg(test)]
mod tests;
