use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, SecondsFormat, Utc};
use expiry_core::{Clock, MacAddr, SystemClock};
use expiry_mikrotik::sim::{ClientConfig, ClientId, SimConfig, SimRouter, TrafficEvent};
use serde::Serialize;
use tokio::time::Instant;

use crate::{args::RouterSimArgs, error::CliError, lifecycle, output::Output, secret};

pub(super) async fn run(args: &RouterSimArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let mut macs = BTreeSet::new();
    if let Some((_, mac)) = args.clients.iter().find(|(_, mac)| !macs.insert(*mac)) {
        return Err(CliError::DeviceTwice(*mac));
    }
    let password = secret::from_file(&args.password_file)?;
    let config = SimConfig {
        identity: "router-sim".into(),
        delay: args.delay,
        shared_users: None,
        wall_clock_start: u64::try_from(SystemClock.wall().timestamp()).unwrap_or_default(),
        ..SimConfig::new(args.username.clone(), password)
    };
    let listening = SimRouter::listen(args.listen, config).await;
    let router = listening.map_err(|source| CliError::Listen {
        address: args.listen,
        source,
    })?;
    // Two of them are two boxes, whatever the ports that were asked for.
    let serial = format!("SIM{}", router.addr().port());
    router.with(|sim| sim.configure(|config| config.serial = Some(serial)));
    let mut traffic = router.traffic();
    let mut clients = Vec::new();
    for (name, mac) in &args.clients {
        let config = ClientConfig {
            persistent: true,
            ..ClientConfig::new(name.clone(), *mac)
        };
        clients.push((router.with(|sim| sim.add_client(config)), *mac));
    }
    out.show(&Listening {
        listening: router.addr(),
    })?;
    let watching = async |stop: tokio_util::sync::CancellationToken| {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = traffic.recv() => event,
            };
            let Some(event) = event else { return Ok(()) };
            out.show(&TrafficLine::new(event, &clients, router.started()))?;
        }
    };
    lifecycle::until_signal(watching).await?
}

#[derive(Debug, Serialize)]
struct Listening {
    listening: std::net::SocketAddr,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening on {}", self.listening)
    }
}

#[derive(Debug, Serialize)]
struct TrafficLine {
    at: DateTime<Utc>,
    client: String,
    mac: Option<MacAddr>,
    moving: bool,
}

impl TrafficLine {
    fn new(event: TrafficEvent, clients: &[(ClientId, MacAddr)], started: Instant) -> Self {
        let mac = clients
            .iter()
            .find(|(id, _)| *id == event.client)
            .map(|(_, mac)| *mac);
        Self {
            at: SystemClock.wall() - (started + event.at).elapsed(),
            client: event.name,
            mac,
            moving: event.moving,
        }
    }
}

impl fmt::Display for TrafficLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        write!(f, "{at} {}", self.client)?;
        if let Some(mac) = self.mac {
            write!(f, " {mac}")?;
        }
        write!(
            f,
            " traffic {}",
            if self.moving { "starts" } else { "stops" }
        )
    }
}
