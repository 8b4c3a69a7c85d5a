//! `expiry-http`: the admin service by itself, with or without a watcher inside.

mod token;

use std::{ffi::OsString, io, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use expiry_cli::host::{self, CommonArgs, Failure, Host, Inside, Told};
use expiry_core::{AuditEvent, Explanation, Store, config::Loader};
use expiry_http::{HostName, HttpConfig, Network, Service, Words};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    time::{Duration, sleep},
};
use tokio_util::sync::CancellationToken;

use token::Found;

/// How long the watcher inside may take for a stop, on top of the requests in flight.
const PATIENCE: Duration = Duration::from_secs(4);

/// The admin service: status, orders, live page and metrics over HTTP.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
    /// Where to listen [env: `EXPIRY_HTTP_LISTEN`] [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// File that holds the token [env: `EXPIRY_HTTP_TOKEN_FILE`, or the token itself in
    /// `EXPIRY_HTTP_TOKEN`, or the credential `admin-token`].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses or networks, with commas between
    /// [env: `EXPIRY_HTTP_TRUSTED_PROXIES`] [default: none].
    #[arg(long, value_name = "ADDRESSES")]
    trusted_proxies: Option<String>,
    /// Names that the service is called by, as that of its proxy, besides its addresses: with commas
    /// between [env: `EXPIRY_HTTP_HOSTS`] [default: none].
    #[arg(long, value_name = "NAMES")]
    hosts: Option<String>,
    /// Run a watcher inside [env: `EXPIRY_WATCHER_ENABLED`] [default: no].
    #[arg(long)]
    watcher: bool,
}

#[derive(Debug, Error)]
enum Wrong {
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    #[error("the server failed")]
    Serve(#[from] io::Error),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut flags: Vec<(&str, &str, OsString)> = Vec::new();
    let mut set = |key, flag, value: Option<OsString>| {
        flags.extend(value.map(|value| (key, flag, value)));
    };
    set("http.listen", "--listen", args.listen.map(Into::into));
    let file = args.token_file.map(Into::into);
    set("http.token_file", "--token-file", file);
    let proxies = args.trusted_proxies.map(Into::into);
    set("http.trusted_proxies", "--trusted-proxies", proxies);
    set("http.hosts", "--hosts", args.hosts.map(Into::into));
    let watcher = args.watcher.then(|| "true".into());
    set("http.watcher_enabled", "--watcher", watcher);
    let told = Told {
        common: args.common,
        flags,
        credentials: &[("http.token", "admin-token")],
    };
    host::serve(told, Wanted::read, run)
}

/// What the section `http` comes to. Whatever is wrong with it is a fault, and nothing starts.
struct Wanted {
    address: SocketAddr,
    token: Found,
    proxies: Vec<Network>,
    hosts: Vec<HostName>,
    has_watcher: bool,
}

impl Wanted {
    fn read(loader: &mut Loader) -> Self {
        let config: HttpConfig = loader.section();
        let address = config.address().unwrap_or_else(|wrong| {
            let place = loader.place("http.listen").clone();
            loader.fault(place, format!("http.listen: {wrong}"));
            SocketAddr::from(([127, 0, 0, 1], 8080))
        });
        let proxies = config.proxies().unwrap_or_else(|wrong| {
            let place = loader.place("http.trusted_proxies").clone();
            loader.fault(place, format!("http.trusted_proxies: {wrong}"));
            Vec::new()
        });
        let hosts = config.hosts().unwrap_or_else(|wrong| {
            let place = loader.place("http.hosts").clone();
            loader.fault(place, format!("http.hosts: {wrong}"));
            Vec::new()
        });
        Self {
            address,
            token: token::find(&config, loader),
            proxies,
            hosts,
            has_watcher: config.watcher_enabled,
        }
    }
}

async fn run(host: Host, wanted: Wanted, stop: CancellationToken) -> Result<(), Failure> {
    let listener = TcpListener::bind(wanted.address)
        .await
        .map_err(|source| not_listening(wanted.address, source))?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let open = async {
        let store = host.store().await?;
        // Its own connections: whoever asks a lot takes none away from the watcher inside.
        let of_watcher = if wanted.has_watcher {
            host.store().await?
        } else {
            Arc::clone(&store)
        };
        Ok::<_, Failure>((store, of_watcher))
    };
    let (store, of_watcher) = tokio::select! {
        opened = open => opened?,
        () = stop.cancelled() => return Ok(()),
    };
    let host = Arc::new(host);
    let inside = Inside::default();
    let (has_watcher, is_open) = (wanted.has_watcher, !wanted.address.ip().is_loopback());
    if let Some(warning) = &wanted.token.warning {
        tracing::warn!("{warning}");
    }
    let proxies = wanted.proxies.clone();
    let service = service(&host, &store, &inside, wanted, &stop);
    tracing::info!(%address, watcher = has_watcher, "listening");
    if is_open {
        tracing::warn!(
            %address,
            "requests from other machines come in clear text: put a proxy with TLS in front"
        );
    }
    let serve = expiry_http::serve(listener, expiry_http::app(service), proxies, stop.clone());
    let serve = async {
        serve
            .await
            .map_err(|error| Failure::failed(Wrong::Serve(error)))
    };
    if !has_watcher {
        let line = format!("serving on {address}");
        tokio::select! {
            served = serve => served?,
            () = host.attend(&line, &stop, PATIENCE) => {}
        }
        tracing::info!("stopped");
        return Ok(());
    }
    let overdue = async {
        stop.cancelled().await;
        sleep(PATIENCE).await;
    };
    let watch = async {
        tokio::select! {
            ended = host.watch(of_watcher, &inside, &stop) => ended,
            () = overdue => {
                tracing::warn!("the watcher was cut off by the stop; what it did is looked at again");
                Ok(())
            }
        }
    };
    // If one of the two ends by itself, the other is stopped.
    let ended = async |part: &mut (dyn Future<Output = Result<(), Failure>> + Unpin)| {
        let ended = part.await;
        stop.cancel();
        ended
    };
    let (mut serve, mut watch) = (Box::pin(serve), Box::pin(watch));
    let (served, watched) = tokio::join!(ended(&mut serve), ended(&mut watch));
    watched.and(served)?;
    tracing::info!("stopped");
    Ok(())
}

/// Tells what waiting may mend, another that is about to let go of the address or a network that is
/// about to come up, from what is wrong with the configuration.
fn not_listening(address: SocketAddr, source: io::Error) -> Failure {
    let may_heal = matches!(
        source.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
    );
    let wrong = Wrong::Listen(address, source);
    if may_heal {
        Failure::failed(wrong)
    } else {
        Failure::usage(wrong)
    }
}

fn service(
    host: &Arc<Host>,
    store: &Arc<dyn Store>,
    inside: &Inside,
    wanted: Wanted,
    stop: &CancellationToken,
) -> Service {
    let (gateways, watchers, of_watchers) = (Arc::clone(host), Arc::clone(host), Arc::clone(store));
    let inside = inside.clone();
    Service {
        status: Arc::clone(store) as _,
        audit: Arc::clone(store) as _,
        time: Arc::clone(store) as _,
        directory: Arc::clone(store) as _,
        passwords: Arc::clone(store) as _,
        gateways: Box::new(move || gateways.gateway()),
        watchers: Box::new(move || watchers.watcher(Arc::clone(&of_watchers))),
        unwell: Box::new(move || inside.unwell()),
        words: Arc::new(Spoken(Arc::clone(host))),
        interval: host.interval(),
        keep: host.keep(),
        token: wanted.token.token,
        proxies: wanted.proxies,
        hosts: wanted.hosts,
        stop: stop.clone(),
    }
}

/// The words of the command line.
struct Spoken(Arc<Host>);

impl Words for Spoken {
    fn event(&self, event: &AuditEvent) -> String {
        host::event_in_words(event)
    }

    fn explained(&self, explanation: &Explanation, tenant: Option<String>) -> Vec<Vec<String>> {
        self.0.explanation_in_words(explanation, tenant.as_deref())
    }
}
