//! What monitoring reads, judged by Prometheus's own tool: the metrics, the alerts, the dashboard.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use expiry_tests::{http::Admin, world::World};
use serde_json::Value;

fn monitoring(file: &str) -> PathBuf {
    let monitoring = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring");
    monitoring.join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(monitoring(file)).expect("it is in the repository")
}

/// Runs promtool, which has nothing to say if all is well.
fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs promtool: on Debian `apt-get install prometheus`");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("sent");
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() && said.is_empty(),
        "{arguments:?}: {said}"
    );
}

/// What the panels ask for. Grafana puts the span in.
fn panels() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have the same id");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let expressions = targets.map(|target| target["expr"].as_str().expect("text"));
    expressions
        .map(|expression| expression.replace("$__rate_interval", "5m"))
        .collect()
}

#[tokio::test]
async fn what_monitoring_reads_is_well_formed() {
    let world = World::new(None).await;
    let inside = world.expiry.clone().with("EXPIRY_WATCHER_ENABLED", "true");
    let mut admin = Admin::start(&inside, &[]).await;
    admin.service.line("router is ours").await;
    let metrics = admin.call("GET", "/metrics").await;
    assert_eq!(metrics.status, 200);
    promtool(&["check", "metrics"], &metrics.body);

    let families = metrics.body.lines().filter_map(|line| {
        let family = line.strip_prefix("# TYPE ")?;
        family.split(' ').next()
    });
    let families: BTreeSet<_> = families.collect();
    let texts = panels().join(" ") + &read("alerts.yml");
    let words = texts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for name in words.filter(|word| word.starts_with("expiry_")) {
        let name = name.trim_end_matches("_bucket");
        assert!(families.contains(name), "{name} is in no metrics");
    }
    assert_eq!(admin.service.terminate().await, 0);
}

#[test]
fn prometheus_takes_the_alerts_and_what_the_dashboard_asks_for() {
    let alerts = monitoring("alerts.yml");
    promtool(&["check", "rules", alerts.to_str().expect("text")], "");
    let rules = panels()
        .into_iter()
        .enumerate()
        .map(|(number, expression)| {
            let expression = Value::from(expression);
            format!("      - {{record: 'panel:{number}', expr: {expression}}}\n")
        });
    let rules: String = rules.collect();
    assert!(rules.lines().count() >= 18, "{rules}");
    promtool(
        &["check", "rules", "/dev/stdin"],
        &format!("groups:\n  - name: dashboard\n    rules:\n{rules}"),
    );
}
