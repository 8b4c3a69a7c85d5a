use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use super::{WatcherConfig, brake, turn};
use crate::{
    Brake, ChangeFeed, Clock, GatewayError, MacAddr, Outlook, Revision, Router, RouterGateway,
    RouterId, RouterLogin, Sighting, Store, StoreError, Task, Username, Want,
    decide::{Claim, Leftovers, RestorePlan, hosts_to_renew, plan_restore},
};

/// Shows what a watcher would do, and does none of it: it takes no ownership, records nothing, and
/// sends routers nothing but reads. Whoever owns the routers is not disturbed.
pub struct DryRun {
    eyes: Arc<Eyes>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    shown: BTreeSet<Shown>,
    nap: Option<Duration>,
    feed: Option<Box<dyn ChangeFeed>>,
}

struct Eyes {
    store: Arc<dyn Store>,
    gateway: Arc<dyn RouterGateway>,
    comments: bool,
    batch: usize,
}

/// A task by what tells it from others.
type Shown = (
    RouterId,
    Option<Username>,
    BTreeSet<MacAddr>,
    Revision,
    Want,
);

/// What would be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The store's time.
    pub now: DateTime<Utc>,
    /// Why nothing of it would be done now; empty if nothing is in the way.
    pub brakes: Vec<Brake>,
    /// The routers on which something would be done, by name.
    pub routers: Vec<RouterPreview>,
    /// The next deadline ahead.
    pub next_deadline: Option<DateTime<Utc>>,
}

/// What would be done on a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouterPreview {
    /// Its name.
    pub router: String,
    /// Why it could not be read; then nothing is known of the rows.
    pub error: Option<String>,
    /// The tasks: restores first, then fresh cuts, then backlog, each oldest first.
    pub tasks: Vec<TaskPreview>,
}

/// What would be done for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskPreview {
    /// The direction.
    pub want: Want,
    /// Who; a removed device has no name.
    pub username: Option<Username>,
    /// With which devices.
    pub devices: BTreeSet<MacAddr>,
    /// Since when it is due.
    pub since: DateTime<Utc>,
    /// Whether it would be paced and come after fresh work.
    pub backlog: bool,
    /// The rows that would be written; absent if the router could not be read.
    pub rows: Option<RowsPreview>,
}

/// The rows that would be written for one target. Tracked connections are not among them: they are
/// read only once sessions are being dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowsPreview {
    /// Accounts to be disabled, or enabled.
    pub accounts: Vec<String>,
    /// Bypass bindings to be disabled, or enabled.
    pub bindings: Vec<String>,
    /// Cookies to be removed.
    pub cookies: Vec<String>,
    /// Sessions to be removed.
    pub sessions: Vec<String>,
    /// Hosts to be removed.
    pub hosts: Vec<String>,
}

impl DryRun {
    /// Puts a dry run together. Nothing is read yet.
    pub fn new(
        store: Arc<dyn Store>,
        gateway: Arc<dyn RouterGateway>,
        clock: Arc<dyn Clock>,
        config: &WatcherConfig,
    ) -> Self {
        let eyes = Eyes {
            store,
            gateway,
            comments: config.comments,
            batch: usize::try_from(config.batch).unwrap_or(usize::MAX).max(1),
        };
        Self {
            eyes: Arc::new(eyes),
            clock,
            interval: config.interval,
            shown: BTreeSet::new(),
            nap: None,
            feed: None,
        }
    }

    /// Shows what would be done now. A second call waits until something is due that was not shown
    /// yet, and shows only that. Cancel safe, but what was read is lost.
    ///
    /// # Errors
    /// Those of the store. A router that cannot be read is a part of the preview.
    pub async fn next(&mut self) -> Result<Preview, StoreError> {
        loop {
            let is_first = self.nap.is_none();
            if let Some(nap) = self.nap {
                self.wait(nap).await;
            }
            let outlook = self.eyes.store.outlook().await?;
            let ahead = outlook.next_deadline.map(|next| next - outlook.now);
            let ahead = ahead.map(|ahead| ahead.to_std().unwrap_or_default());
            let nap = ahead.unwrap_or(self.interval).min(self.interval);
            self.nap = Some(nap.max(Duration::from_millis(1)));
            let fresh = self.not_shown(&outlook);
            if is_first || !fresh.is_empty() {
                return self.preview(outlook, fresh).await;
            }
        }
    }

    async fn wait(&mut self, nap: Duration) {
        if self.feed.is_none() {
            // Without a feed the naps go on.
            self.feed = self.eyes.store.changes().await.ok();
        }
        let Some(feed) = &mut self.feed else {
            return sleep(nap).await;
        };
        tokio::select! {
            biased;
            () = sleep(nap) => {}
            changed = feed.changed() => if changed.is_err() { self.feed = None },
        }
    }

    fn not_shown(&mut self, outlook: &Outlook) -> BTreeMap<RouterId, Vec<Task>> {
        let mut fresh: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut still = BTreeSet::new();
        for (router, task) in &outlook.tasks {
            let key: Shown = (
                *router,
                task.username.clone(),
                task.macs.clone(),
                task.revision,
                task.want,
            );
            if !self.shown.contains(&key) {
                fresh.entry(*router).or_default().push(task.clone());
            }
            still.insert(key);
        }
        self.shown = still;
        fresh
    }

    async fn preview(
        &self,
        outlook: Outlook,
        mut fresh: BTreeMap<RouterId, Vec<Task>>,
    ) -> Result<Preview, StoreError> {
        let machine = self.clock.machine();
        let (known, state) = brake::read(&*self.clock, &*self.eyes.store, &machine).await?;
        let of_machine = Brake::of_machine(&machine.name, &state);
        let mut looks = JoinSet::new();
        for router in self.eyes.store.routers().await? {
            if let Some(tasks) = fresh.remove(&router.id) {
                let eyes = Arc::clone(&self.eyes);
                looks.spawn(async move { eyes.look(&router, tasks).await });
            }
        }
        let looked = looks.join_all().await.into_iter();
        let mut routers = looked.collect::<Result<Vec<_>, _>>()?;
        routers.sort_by(|a, b| a.router.cmp(&b.router));
        Ok(Preview {
            now: outlook.now,
            brakes: of_machine.into_iter().chain(known.share).collect(),
            routers,
            next_deadline: outlook.next_deadline,
        })
    }
}

impl Eyes {
    async fn look(&self, router: &Router, tasks: Vec<Task>) -> Result<RouterPreview, StoreError> {
        let mut preview = RouterPreview {
            router: router.name.clone(),
            error: None,
            tasks: Vec::new(),
        };
        let mut login = match self.store.router_login(router.id).await {
            Err(StoreError::NoPassword(error)) => Err(GatewayError::from(*error)),
            login => Ok(login?),
        };
        for batch in tasks.chunks(self.batch) {
            let rows = match &login {
                Ok(login) => self.read(login, batch).await?,
                Err(_) => Ok(Vec::new()),
            };
            let rows = rows.unwrap_or_else(|error| {
                login = Err(error);
                Vec::new()
            });
            let mut rows = rows.into_iter();
            for task in batch {
                preview.tasks.push(TaskPreview {
                    want: task.want,
                    username: task.username.clone(),
                    devices: task.macs.clone(),
                    since: task.due_at,
                    backlog: task.backlog,
                    rows: rows.next(),
                });
            }
        }
        preview.error = login.err().map(|error| error.to_string());
        self.gateway.close(router.id).await;
        Ok(preview)
    }

    /// Reads what there is of each task.
    async fn read(
        &self,
        login: &RouterLogin,
        tasks: &[Task],
    ) -> Result<Result<Vec<RowsPreview>, GatewayError>, StoreError> {
        let mut query = turn::query(tasks, self.comments);
        query.holders = tasks.iter().any(|task| task.want == Want::Cut);
        let seen = match self.gateway.look(login, &query).await {
            Ok(seen) => seen,
            Err(error) => return Ok(Err(error)),
        };
        let mut tasks = tasks.to_vec();
        let live = turn::live(&*self.store, login.router.id, &tasks, &seen, self.comments).await?;
        for task in tasks.iter_mut().filter(|task| task.want == Want::Cut) {
            let left = Leftovers::find(
                &Claim::new(task, &live, self.comments),
                &seen,
                &task.trace.addresses,
            );
            task.trace.add(&left.trace());
            query.stations.extend(&task.trace.stations);
            query.addresses.extend(&task.trace.addresses);
        }
        // Hosts under a session show only to whoever asks for its device or address.
        let seen = match self.gateway.look(login, &query).await {
            Ok(seen) => seen,
            Err(error) => return Ok(Err(error)),
        };
        let live = turn::live(&*self.store, login.router.id, &tasks, &seen, self.comments).await?;
        let rows = tasks.iter().map(|task| match task.want {
            Want::Cut => {
                let claim = Claim::new(task, &live, self.comments);
                of_cut(&Leftovers::find(&claim, &seen, &task.trace.addresses))
            }
            Want::Restore => of_restore(task, &seen),
        });
        Ok(Ok(rows.collect()))
    }
}

fn of_cut(left: &Leftovers) -> RowsPreview {
    let hosts = left.open_hosts.iter().chain(&left.closed_hosts);
    RowsPreview {
        accounts: left.users.iter().map(|row| row.name.clone()).collect(),
        bindings: left.bindings.iter().map(binding).collect(),
        cookies: left
            .cookies
            .iter()
            .map(|row| on(&row.user, [text(row.mac), None]))
            .collect(),
        sessions: left
            .actives
            .iter()
            .map(|row| on(&row.user, [text(row.address), text(row.mac)]))
            .collect(),
        hosts: hosts.map(host).collect(),
    }
}

fn of_restore(task: &Task, seen: &Sighting) -> RowsPreview {
    let RestorePlan { order, .. } = plan_restore(task, seen);
    let users = seen
        .users
        .iter()
        .filter(|row| order.users.contains(&row.id));
    let bindings = seen
        .bindings
        .iter()
        .filter(|row| order.bindings.contains(&row.id));
    let renewed = hosts_to_renew(task, seen);
    let hosts = seen.hosts.iter().filter(|row| renewed.contains(&row.id));
    RowsPreview {
        accounts: users.map(|row| row.name.clone()).collect(),
        bindings: bindings.map(binding).collect(),
        hosts: hosts.map(host).collect(),
        ..RowsPreview::default()
    }
}

fn binding(row: &crate::BindingRow) -> String {
    let what = text(row.mac).or_else(|| row.address.clone());
    let what = what.or_else(|| row.to_address.clone());
    let comment = row.comment.as_deref().filter(|comment| !comment.is_empty());
    let comment = comment.map(|comment| format!("\"{comment}\""));
    on(&what.unwrap_or_default(), [comment, None])
}

fn host(row: &crate::HostRow) -> String {
    let mac = text(row.mac).unwrap_or_default();
    on(&mac, [text(row.address), None])
}

fn on(what: &str, places: [Option<String>; 2]) -> String {
    let places: Vec<_> = places.into_iter().flatten().collect();
    if places.is_empty() {
        what.into()
    } else {
        format!("{what} ({})", places.join(", "))
    }
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}
