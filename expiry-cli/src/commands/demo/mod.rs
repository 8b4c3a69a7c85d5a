//! The watcher at work on simulated routers, over real TCP, with an embedded database.

mod plan;
mod play;
mod stage;
mod summary;
mod view;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use expiry_core::{Event, EventSink, watcher::WatcherConfig};
use expiry_mikrotik::GatewayConfig;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio_util::sync::CancellationToken;

pub(crate) use self::summary::Summary;
use self::{plan::Plan, play::Play, stage::Stage, view::Mode};
use crate::{args::DemoArgs, error::CliError, lifecycle, output::Output, wiring};

pub(super) async fn run(args: &DemoArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let mode = if out.is_json() {
        Mode::Silent
    } else if io::stdout().is_terminal() {
        Mode::Terminal
    } else {
        Mode::Lines
    };
    let played = lifecycle::until_signal(async |stop| play(args, mode, stop).await).await??;
    let Some(summary) = played else {
        return Err(CliError::Interrupted);
    };
    out.show(&summary)?;
    if summary.holds() {
        Ok(())
    } else {
        Err(CliError::Demo(summary))
    }
}

/// Returns nothing if it was stopped before the end.
async fn play(
    args: &DemoArgs,
    mode: Mode,
    stop: CancellationToken,
) -> Result<Option<Summary>, CliError> {
    let directory = tempfile::tempdir().map_err(CliError::Temporary)?;
    let store = wiring::store_in(directory.path()).await?;
    let routers = usize::from(args.routers);
    let subscribers = usize::try_from(args.subscribers).unwrap_or(usize::MAX);
    let plan = Plan::new(args.length, routers, subscribers);
    let (told, events) = mpsc::unbounded_channel();
    let watcher = wiring::watcher_on(
        Arc::clone(&store),
        Arc::new(Teller(told)),
        WatcherConfig::default(),
        &GatewayConfig::default(),
    );
    let stage = Stage::build(&plan, routers, store).await?;

    let curtain = CancellationToken::new();
    let mut watching = tokio::spawn(watcher.run(curtain.clone()));
    let mut stdout = io::stdout();
    let scene = Play::new(plan, stage, args.length);
    let summary = tokio::select! {
        summary = scene.perform(events, view::View::new(&mut stdout, mode), stop) => summary?,
        ended = &mut watching => {
            ended.map_err(CliError::Panic)??;
            return Err(CliError::WatcherEnded);
        }
    };
    curtain.cancel();
    watching.await.map_err(CliError::Panic)??;
    Ok(summary)
}

/// Tells the play what the watcher does.
struct Teller(UnboundedSender<Event>);

impl EventSink for Teller {
    fn record(&self, event: &Event) {
        // After the play nobody listens.
        let _ = self.0.send(event.clone());
    }
}
