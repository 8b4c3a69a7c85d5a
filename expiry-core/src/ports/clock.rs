use std::{fs, sync::OnceLock, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Clocks, Machine};

/// The clocks of the watcher's machine. They decide how long to nap, and whether an ownership, and
/// the clock itself, can still be trusted; they never decide that access has ended.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns the wall time. It may step in either direction.
    fn wall(&self) -> DateTime<Utc>;

    /// Returns the time since the machine started, suspended time included. It never steps back.
    fn boot(&self) -> Duration;

    /// Names this start of the machine; after a restart it is another.
    fn boot_id(&self) -> String;

    /// Tells which machine this is.
    fn machine(&self) -> Machine;

    /// Asks whether the kernel holds its clock for synchronised; `None` if that cannot be told.
    async fn is_synchronised(&self) -> Option<bool>;

    /// Reads the clocks together.
    fn read(&self) -> Clocks {
        Clocks {
            boot_id: self.boot_id(),
            boot: self.boot(),
            wall: self.wall(),
        }
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A service manager that does not answer must not hold up the heart.
const PATIENCE: Duration = Duration::from_secs(2);

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the port that others are told to use"
    )]
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn boot(&self) -> Duration {
        #[cfg(target_os = "linux")]
        let id = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let id = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(id);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }

    /// Where the kernel names no start, each process is one.
    fn boot_id(&self) -> String {
        static BOOT_ID: OnceLock<String> = OnceLock::new();
        let named = || word_in("/proc/sys/kernel/random/boot_id");
        let id =
            BOOT_ID.get_or_init(|| named().unwrap_or_else(|| uuid::Uuid::now_v7().to_string()));
        id.clone()
    }

    /// Machines cloned from one image share an id, so the host name is a part of it.
    fn machine(&self) -> Machine {
        let uname = rustix::system::uname();
        let name = uname.nodename().to_string_lossy().into_owned();
        let id = match word_in("/etc/machine-id") {
            Some(id) => format!("{id}/{name}"),
            None => name.clone(),
        };
        Machine { id, name }
    }

    /// Asks the service manager, which asks the kernel: a process that is kept away from setting
    /// the clock is usually kept away from asking the kernel about it, too.
    async fn is_synchronised(&self) -> Option<bool> {
        let mut command = tokio::process::Command::new("timedatectl");
        command
            .args(["show", "--property=NTPSynchronized", "--value"])
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let answer = tokio::time::timeout(PATIENCE, command.output()).await;
        match answer.ok()?.ok()?.stdout.trim_ascii() {
            b"yes" => Some(true),
            b"no" => Some(false),
            _ => None,
        }
    }
}

/// Reads a file that holds one word.
fn word_in(file: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let word = text.trim();
    (!word.is_empty() && !word.contains(char::is_whitespace)).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_of_this_machine_do_not_jump_by_themselves() {
        let (before, after) = (SystemClock.read(), SystemClock.read());
        assert_eq!(before.boot_id, after.boot_id);
        assert_eq!(after.jumped_since(&before), None);
    }

    #[test]
    fn this_machine_has_a_name() {
        let machine = SystemClock.machine();
        assert!(!machine.name.is_empty() && machine.id.contains(&machine.name));
    }
}
