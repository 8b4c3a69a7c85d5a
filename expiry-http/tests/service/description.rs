use std::{env, fs, path::Path};

use crate::world::World;

/// The description as it is committed. `UPDATE_OPENAPI=1 cargo test -p expiry-http description`
/// writes it anew.
#[test]
fn the_description_is_the_one_that_is_committed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let made = expiry_http::description();
    let made = serde_json::to_string_pretty(&made).expect("JSON") + "\n";
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&file, &made).expect("written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        made == committed,
        "docs/openapi.json is not what the handlers say: run \
         `UPDATE_OPENAPI=1 cargo test -p expiry-http description` and look at the difference"
    );
}

#[tokio::test]
async fn it_is_served_and_every_path_in_it_is() {
    let world = World::new();
    let served = world.get("/api/v1/openapi.json").await.json();
    assert_eq!(served["openapi"], "3.1.0");
    let paths = served["paths"].as_object().expect("paths");
    assert!(paths.len() > 20);
    for path in paths.keys() {
        let path = path.replace("{id}", "1");
        let answer = world.call(axum::http::Method::TRACE, &path, None).await;
        assert_eq!(answer.status.as_u16(), 405, "{path} is not served");
    }
}
