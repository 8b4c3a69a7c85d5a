//! `expiry-http`: the admin service by itself.

use std::{
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use expiry_core::{StatusStore, StoreError};
use expiry_store::StoreConfig;
use thiserror::Error as ThisError;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::writer::MakeWriterExt;

/// Serves /healthz and /readyz over HTTP.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Database: `sqlite://PATH` or `postgres://…`.
    #[arg(
        long,
        value_name = "URL",
        env = "EXPIRY_DATABASE",
        hide_env_values = true
    )]
    database: String,
    /// File of the key that seals router passwords.
    #[arg(long, value_name = "FILE", env = "EXPIRY_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "EXPIRY_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,
}

#[derive(Debug, ThisError)]
enum Failure {
    #[error("cannot open the database")]
    Store(#[from] StoreError),
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    #[error("the server failed")]
    Serve(#[from] io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Store(error) if error.is_transient() => 1,
            Self::Store(_) | Self::Listen(..) => 2,
            Self::Serve(_) => 1,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let stdout = io::stdout.with_min_level(tracing::Level::INFO);
    tracing_subscriber::fmt()
        .with_writer(
            io::stderr
                .with_max_level(tracing::Level::WARN)
                .or_else(stdout),
        )
        .with_ansi(false)
        .init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "error: {}", chain(&failure));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Joins an error and its causes to one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

async fn run(args: Args) -> Result<(), Failure> {
    let mut config = StoreConfig::parse(&args.database)?;
    if let Some(file) = args.key_file {
        config.key_file = file;
    }
    let store: Arc<dyn StatusStore> = expiry_store::open(&config).await?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::Listen(args.listen, error))?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    expiry_http::serve(listener, expiry_http::app(store), stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Cancels `stop` at the first SIGTERM or SIGINT, and ends the process at the second.
fn stop_on_signal(stop: CancellationToken) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(1);
            }
            stop.cancel();
        }
    });
    Ok(())
}
