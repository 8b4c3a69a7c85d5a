//! Enforcement rows: what one router still owes, and how a row moves on.

use std::{collections::BTreeSet, fmt, net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{LagKind, MacAddr, Revision, TaskId, Undo, UndoItem, UndoKey, Username, Waited};

/// The direction of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// Nobody of the target may be online.
    Cut,
    /// What we disabled for the target's names and MACs is enabled again.
    Restore,
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Restore => "restore",
        })
    }
}

/// Whether the router is known to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not confirmed.
    Owed,
    /// A read-back after the writes showed nothing left to do.
    Confirmed,
}

/// The suspected way by which a subscriber came back after a confirmed cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WayIn {
    /// A trial session (`T-` and the MAC): take `trial` out of the server profile's `login-by`.
    Trial,
    /// RADIUS accepted the login: reject there too.
    Radius,
    /// A login by the device's MAC.
    MacLogin,
    /// A saved cookie.
    Cookie,
    /// An IP binding of type `bypassed`.
    Bypass,
    /// An IP binding of type `bypassed` for an address or a range that others use, too.
    SharedBypass,
    /// The account was enabled again.
    Account,
    /// None of the above can be told from the rows.
    Unknown,
}

impl WayIn {
    /// Returns the word kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Radius => "radius",
            Self::MacLogin => "mac-login",
            Self::Cookie => "cookie",
            Self::Bypass => "bypass",
            Self::SharedBypass => "shared-bypass",
            Self::Account => "account",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word kept in the store.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Trial,
            Self::Radius,
            Self::MacLogin,
            Self::Cookie,
            Self::Bypass,
            Self::SharedBypass,
            Self::Account,
            Self::Unknown,
        ]
        .into_iter()
        .find(|way| way.as_str() == word)
    }
}

/// How far a row has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whether it is confirmed.
    pub state: State,
    /// Attempts since it became owed.
    pub attempts: u32,
    /// When to try again; set exactly while owed.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Later looks that found nothing, since it was confirmed.
    pub looks: u32,
    /// When to look again; only while confirmed.
    pub verify_at: Option<DateTime<Utc>>,
    /// How often the target came back after a cut of this deadline.
    pub returns: u32,
    /// The suspected way back in, of the last return.
    pub way_in: Option<WayIn>,
    /// When the row was last confirmed.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Whether the last reading showed the target online.
    pub online: bool,
    /// Why the last attempt did not confirm.
    pub last_error: Option<String>,
}

/// After so many returns a cut *cannot hold*.
pub const RETURNS_UNTIL_CANNOT_HOLD: u32 = 3;

impl Progress {
    /// A row that becomes owed at `now`.
    pub fn owed(now: DateTime<Utc>) -> Self {
        Self {
            state: State::Owed,
            attempts: 0,
            next_attempt_at: Some(now),
            looks: 0,
            verify_at: None,
            returns: 0,
            way_in: None,
            confirmed_at: None,
            online: false,
            last_error: None,
        }
    }

    /// Tells whether the target kept coming back.
    pub fn cannot_hold(&self) -> bool {
        self.returns >= RETURNS_UNTIL_CANNOT_HOLD
    }

    /// What a confirmed cut comes to when a reading of the whole router shows its target with a way
    /// in: owed again. With `way_in` the target is online by it, and so has come back; if it then
    /// cannot hold, it waits for `pace`. Without, nobody has used the way.
    #[must_use]
    pub fn found_again(&self, way_in: Option<WayIn>, pace: Duration, now: DateTime<Utc>) -> Self {
        if way_in.is_none() {
            return Self {
                state: State::Owed,
                attempts: 0,
                next_attempt_at: Some(now),
                verify_at: None,
                ..self.clone()
            };
        }
        let cannot_hold = self.returns + 1 >= RETURNS_UNTIL_CANNOT_HOLD;
        let retry_in = if cannot_hold { pace } else { Duration::ZERO };
        self.after(&Outcome::Returned { way_in, retry_in }, now)
    }

    /// Moves on by the outcome of an attempt or a look that ended at `now`.
    #[must_use]
    pub fn after(&self, outcome: &Outcome, now: DateTime<Utc>) -> Self {
        let mut next = self.clone();
        match outcome {
            Outcome::Confirmed { next_look } => {
                match self.state {
                    State::Owed => {
                        next.attempts += 1;
                        next.looks = 0;
                        next.confirmed_at = Some(now);
                    }
                    State::Confirmed => next.looks += 1,
                }
                next.state = State::Confirmed;
                next.next_attempt_at = None;
                let confirmed_at = next.confirmed_at.unwrap_or(now);
                next.verify_at = next_look.map(|after| (confirmed_at + after).max(now));
                next.online = false;
                next.last_error = None;
                if next_look.is_none() {
                    next.returns = 0;
                    next.way_in = None;
                }
            }
            Outcome::Returned { way_in, retry_in } => {
                next.attempts = match self.state {
                    State::Owed => self.attempts + 1,
                    State::Confirmed => 0,
                };
                next.state = State::Owed;
                next.next_attempt_at = Some(now + *retry_in);
                next.verify_at = None;
                next.returns += 1;
                next.way_in = *way_in;
                next.online = way_in.is_some();
                next.last_error = Some(match way_in {
                    Some(way) => format!("it did not hold; suspected way in: {}", way.as_str()),
                    None => "it did not hold".into(),
                });
            }
            Outcome::Unconfirmed {
                error,
                online,
                retry_in,
            } => {
                let again = Some(now + *retry_in);
                match self.state {
                    State::Owed => {
                        next.attempts += 1;
                        next.next_attempt_at = again;
                    }
                    State::Confirmed => next.verify_at = again,
                }
                next.online = online.unwrap_or(self.online);
                next.last_error = Some(error.clone());
            }
        }
        next
    }
}

/// Where a cut that is under way saw its target. It is kept with the row until the cut is
/// confirmed: once sessions and hosts are dropped, the router does not tell any more which
/// connections were the target's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Addresses of its sessions and hosts, and those that its bindings, leases, ARP entries and
    /// earlier readings of the router name.
    pub addresses: BTreeSet<IpAddr>,
    /// Devices under its sessions and bindings.
    pub stations: BTreeSet<MacAddr>,
}

impl Trace {
    /// Tells whether the target was seen nowhere.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.stations.is_empty()
    }

    /// Adds what another trace has.
    pub fn add(&mut self, other: &Self) {
        self.addresses.extend(&other.addresses);
        self.stations.extend(&other.stations);
    }
}

/// One row handed to the owner of its router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The row.
    pub id: TaskId,
    /// The direction.
    pub want: Want,
    /// The subscriber's revision that made it so.
    pub revision: Revision,
    /// The name to cut or restore; a removed device has none.
    pub username: Option<Username>,
    /// The devices to cut or restore.
    pub macs: BTreeSet<MacAddr>,
    /// When access ended, or was given back.
    pub due_at: DateTime<Utc>,
    /// Whether it was overdue when a watcher first saw it: such work is paced and comes after fresh
    /// work.
    pub backlog: bool,
    /// How far it has come.
    pub progress: Progress,
    /// Where attempts that were broken off saw the target.
    pub trace: Trace,
    /// For a restore: what there is to undo, oldest finding first. Empty for a cut.
    pub undo: Vec<Undo>,
}

/// What an attempt or a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do on the router.
    Confirmed {
        /// When to look again, counted from the confirmation; `None` ends the looks.
        next_look: Option<Duration>,
    },
    /// A look after a confirmed result, or the read-back of a cut, found it undone: owed again.
    Returned {
        /// For a cut whose target is online again: how it probably came about.
        way_in: Option<WayIn>,
        /// How long to wait before the next attempt.
        retry_in: Duration,
    },
    /// Not known to be done.
    Unconfirmed {
        /// What is left or what failed, for the operator.
        error: String,
        /// Whether the target was seen online; `None` if nothing was seen.
        online: Option<bool>,
        /// How long to wait before the next attempt.
        retry_in: Duration,
    },
}

/// What is about to be written for a task, committed before the first write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The task, as it was handed out.
    pub task: TaskRef,
    /// What was found enabled and will be disabled. A key without items says that the target was
    /// found with nothing to disable.
    pub undo: Vec<Undo>,
    /// Where the target was seen; added to what the row has, and forgotten at its confirmation.
    pub trace: Trace,
}

/// A task at the revision and in the direction in which it was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskRef {
    /// The row.
    pub id: TaskId,
    /// Its revision then.
    pub revision: Revision,
    /// Its direction then.
    pub want: Want,
}

impl From<&Task> for TaskRef {
    fn from(task: &Task) -> Self {
        Self {
            id: task.id,
            revision: task.revision,
            want: task.want,
        }
    }
}

/// An outcome to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The task, as it was handed out.
    pub task: TaskRef,
    /// What it came to.
    pub outcome: Outcome,
    /// For a restore that is confirmed: the undo rows that are done with, and the items that the
    /// read-back agreed on. A row that has grown since stays open.
    pub undone: Vec<Undo>,
}

/// What became of a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Recorded.
    Recorded(Recorded),
    /// The access changed meanwhile: nothing was recorded, and what is owed now stands in the
    /// store.
    Superseded,
}

/// A recorded outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Set when this confirmed the task for the first time since it was owed: how long that took,
    /// never negative by the store's own clock, and what it counts as.
    pub waited: Option<Waited>,
    /// The row as it stands now.
    pub progress: Progress,
}

impl Recorded {
    /// Returns the lag, if this is a first confirmation that has one.
    pub fn lag(&self) -> Option<Duration> {
        self.waited.and_then(Waited::lag)
    }

    /// Tells whether the task had to wait for a router that was down.
    pub fn is_outage(&self) -> bool {
        self.waited
            .is_some_and(|waited| waited.kind == LagKind::Outage)
    }
}

impl Undo {
    /// Tells whether `done` covers every item of this row.
    pub fn is_covered_by(&self, done: &[UndoItem]) -> bool {
        let mut both = Self::new(self.key.clone(), done.to_vec());
        both.add(self);
        both.items.len() == done.len()
    }
}

/// Returns the undo keys that belong to a name and its MACs.
pub fn undo_keys<'a>(
    username: Option<&'a Username>,
    macs: impl IntoIterator<Item = &'a MacAddr>,
) -> Vec<UndoKey> {
    let name = username.cloned().map(UndoKey::Name);
    name.into_iter()
        .chain(macs.into_iter().copied().map(UndoKey::Mac))
        .collect()
}
