//! Whether the admin service answers as its description says, judged by requests that somebody
//! else's program makes of it.

use std::{path::Path, process::Command};

use expiry_tests::{
    http::{Admin, TOKEN},
    pg, python,
    world::World,
};

/// What cannot be said in a schema (that a text is a MAC, that one of two fields is given) is
/// refused with 400, so that check is left out; so is the one that guesses tokens, which would make
/// this address wait. The stream has no end.
async fn no_request_that_the_description_allows_or_not_is_answered_otherwise(world: World) {
    let inside = world.expiry.clone().with("EXPIRY_WATCHER_ENABLED", "true");
    let admin = Admin::start(&inside, &[]).await;
    let description = format!("http://{}/api/v1/openapi.json", admin.address);
    let directory = world.path("");
    let ended = tokio::task::spawn_blocking(move || {
        let programs = python::programs(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let mut schemathesis = Command::new(programs.join("st"));
        schemathesis
            .current_dir(directory)
            .args(["run", &description, "--header"])
            .arg(format!("X-Admin-Token: {TOKEN}"))
            .args(["--exclude-path", "/api/v1/events/stream", "--checks", "all"])
            .args(["--exclude-checks", "ignored_auth,positive_data_acceptance"])
            .args(["--max-examples", "25", "--seed", "1", "--no-color"]);
        python::run(&mut schemathesis, "")
    });
    ended.await.expect("all is as it is described");
    assert_eq!(admin.service.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_on_sqlite_answers_as_it_is_described() {
    let world = World::new(None).await;
    no_request_that_the_description_allows_or_not_is_answered_otherwise(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_on_postgres_answers_as_it_is_described() {
    let database = pg::database().await;
    let world = World::new(Some(&database)).await;
    no_request_that_the_description_allows_or_not_is_answered_otherwise(world).await;
}
