use std::time::Duration;

use expiry_core::{
    testing::memory,
    watcher::{Beat, Progress},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_watcher_that_runs_never_looks_stuck_and_one_that_hangs_does() {
    let world = World::new();
    world.router("r1").await;
    let watcher = world.watcher();
    let progress = watcher.progress();
    let mut run = Box::pin(watcher.run(CancellationToken::new()));
    assert_eq!(progress.stuck(), None, "it has not begun");

    let watch = async {
        for _ in 0..600 {
            sleep(SECOND).await;
            assert_eq!(progress.stuck(), None);
        }
    };
    tokio::select! {
        _ = &mut run => panic!("it ended"),
        () = watch => {}
    }

    // Nobody turns the loops any more.
    sleep(9 * SECOND).await;
    assert_eq!(progress.stuck(), None, "naps may be that long");
    sleep(5 * SECOND).await;
    assert_eq!(progress.stuck(), Some("heart"));
    drop(run);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_does_not_look_like_a_watcher_that_hangs() {
    let world = World::new();
    world.router("r1").await;
    let watcher = world.watcher();
    let progress = watcher.progress();
    let mut beats = progress.beats();
    assert_eq!(*beats.borrow(), Beat::None);
    let running = World::start_watcher(watcher);
    beat(&mut beats, Beat::Taken).await;

    world.store.fail_when(|_| memory::Fault::Before);
    beat(&mut beats, Beat::Failed).await;
    never_stuck(&progress, 600).await;
    world.store.heal();
    beat(&mut beats, Beat::Taken).await;

    running.stop().await;
    sleep(600 * SECOND).await;
    assert_eq!(progress.stuck(), None, "it has ended");
}

async fn beat(beats: &mut tokio::sync::watch::Receiver<Beat>, expected: Beat) {
    let came = timeout(10 * SECOND, beats.wait_for(|beat| *beat == expected)).await;
    came.expect("in time").expect("it runs");
}

async fn never_stuck(progress: &Progress, seconds: u32) {
    for _ in 0..seconds {
        sleep(SECOND).await;
        assert_eq!(progress.stuck(), None);
    }
}
