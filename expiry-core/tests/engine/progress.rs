use std::time::Duration;

use expiry_core::{
    testing::memory,
    watcher::{Beat, Progress, Unwell},
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
    assert_eq!(progress.unwell(), None, "it has not begun");

    let watch = async {
        for _ in 0..600 {
            sleep(SECOND).await;
            assert_eq!(progress.unwell(), None);
        }
    };
    tokio::select! {
        _ = &mut run => panic!("it ended"),
        () = watch => {}
    }

    // Nobody turns the loops any more.
    sleep(9 * SECOND).await;
    assert_eq!(progress.unwell(), None, "naps may be that long");
    sleep(5 * SECOND).await;
    assert_eq!(progress.unwell(), Some(Unwell::Hangs("heart")));
    drop(run);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_whose_store_is_down_is_unwell_after_a_minute_and_well_once_it_is_back() {
    let world = World::new();
    world.router("r1").await;
    let watcher = world.watcher();
    let progress = watcher.progress();
    let mut beats = progress.beats();
    assert_eq!(*beats.borrow(), Beat::None);
    let running = World::start_watcher(watcher);
    beat(&mut beats, Beat::Taken).await;

    for _ in 0..3 {
        world.store.fail_when(|_| memory::Fault::Before);
        beat(&mut beats, Beat::Failed).await;
        never_unwell(&progress, 59).await;
        sleep(3 * SECOND).await;
        let unwell = progress.unwell();
        assert!(
            matches!(unwell, Some(Unwell::Fails("heart", _))),
            "{unwell:?}"
        );
        sleep(600 * SECOND).await;
        assert!(progress.unwell().is_some());
        world.store.heal();
        beat(&mut beats, Beat::Taken).await;
        never_unwell(&progress, 100).await;
    }

    running.stop().await;
    sleep(600 * SECOND).await;
    assert_eq!(progress.unwell(), None, "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_beats_and_cannot_plan_is_unwell() {
    let world = World::new();
    world.router("r1").await;
    let watcher = world.watcher();
    let progress = watcher.progress();
    let mut beats = progress.beats();
    let running = World::start_watcher(watcher);
    beat(&mut beats, Beat::Taken).await;

    world.store.fail_when(|call| {
        if call == "plan_due" {
            memory::Fault::Before
        } else {
            memory::Fault::None
        }
    });
    sleep(100 * SECOND).await;
    assert_eq!(*beats.borrow(), Beat::Taken);
    let unwell = progress.unwell();
    assert!(
        matches!(unwell, Some(Unwell::Fails("planner", _))),
        "{unwell:?}"
    );
    world.store.heal();
    sleep(2 * SECOND).await;
    never_unwell(&progress, 100).await;
    running.stop().await;
}

async fn beat(beats: &mut tokio::sync::watch::Receiver<Beat>, expected: Beat) {
    let came = timeout(10 * SECOND, beats.wait_for(|beat| *beat == expected)).await;
    came.expect("in time").expect("it runs");
}

async fn never_unwell(progress: &Progress, seconds: u32) {
    for _ in 0..seconds {
        sleep(SECOND).await;
        assert_eq!(progress.unwell(), None);
    }
}
