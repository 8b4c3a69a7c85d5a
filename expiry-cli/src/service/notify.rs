use std::{
    ffi::OsString,
    os::unix::{ffi::OsStrExt, net::UnixDatagram},
    time::Duration,
};

/// The manager that started this service, if it wants to hear of it.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// Reads from the environment where the manager listens, and how often it wants to hear.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let socket = variable("NOTIFY_SOCKET").and_then(|address| match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the service manager cannot be told anything");
                None
            }
        });
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_for_us =
            number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|us| is_for_us && *us > 0);
        Self {
            watchdog: watchdog
                .filter(|_| socket.is_some())
                .map(Duration::from_micros),
            socket,
        }
    }

    /// The longest silence that the manager bears.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    pub(super) fn alive(&self) {
        if self.watchdog.is_some() {
            self.send("WATCHDOG=1");
        }
    }

    /// Tells that it stops, and how long that may take.
    pub(super) fn stopping(&self, limit: Duration) {
        self.send(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={}",
            limit.as_micros()
        ));
    }

    pub(super) fn status(&self, line: &str) {
        self.send(&format!("STATUS={line}"));
    }

    /// A manager that does not listen must not hold up the watcher.
    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::debug!(%error, message, "the service manager does not listen");
        }
    }
}

fn connect(address: &OsString) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.as_bytes() {
        [b'@', name @ ..] => connect_abstract(&socket, name)?,
        _ => socket.connect(address)?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &[u8]) -> std::io::Result<()> {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_socket: &UnixDatagram, _name: &[u8]) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
