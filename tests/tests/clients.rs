//! The examples of clients take each payment once: a callback that comes three times, while the database
//! is away.

use std::{path::Path, process::Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use expiry_tests::{
    http::{Admin, TOKEN, call},
    pg::Cluster,
    world::World,
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

const PHONE: &str = "254712345678";

/// The programs that run the examples, and whether they read a callback. The other one has arguments.
const CLIENTS: [(&str, &str, bool); 4] = [
    ("sh", "pay.sh", false),
    ("php", "pay.php", true),
    ("node", "pay.mjs", true),
    ("python3", "pay.py", true),
];

/// What M-Pesa sends when somebody has paid 10 shillings.
fn callback(receipt: &str) -> String {
    let items = json!([
        {"Name": "Amount", "Value": 10.00},
        {"Name": "MpesaReceiptNumber", "Value": receipt},
        {"Name": "Balance"},
        {"Name": "TransactionDate", "Value": 20_261_128_091_500_u64},
        {"Name": "PhoneNumber", "Value": 254_712_345_678_u64},
    ]);
    let callback = json!({
        "MerchantRequestID": "29115-34620561-1",
        "CheckoutRequestID": "ws_CO_191220191020363925",
        "ResultCode": 0,
        "ResultDesc": "The service request is processed successfully.",
        "CallbackMetadata": {"Item": items},
    });
    json!({"Body": {"stkCallback": callback}}).to_string()
}

async fn start((program, file, reads): (&str, &str, bool), admin: &Admin, receipt: &str) -> Child {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients");
    let mut command = Command::new(program);
    command
        .arg(examples.join(file))
        .env("EXPIRY_URL", format!("http://{}", admin.address))
        .env("EXPIRY_TOKEN", TOKEN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if !reads {
        command.args([receipt, PHONE, "3600"]);
    }
    let mut child = command.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    if reads {
        let sent = callback(receipt);
        input.write_all(sent.as_bytes()).await.expect("it reads");
    }
    child
}

fn time(at: &Value) -> DateTime<Utc> {
    let at = at.as_str().expect("a time");
    at.parse().expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_each_example_takes_a_payment_once_while_the_database_goes_and_comes() {
    let mut cluster = Cluster::start();
    let database = cluster.database().await;
    let world = World::new(Some(&database)).await;
    let admin = Admin::start(&world.expiry, &[]).await;
    cluster.stop();

    let mut sent = Vec::new();
    for client in CLIENTS {
        for _ in 0..3 {
            sent.push((client, start(client, &admin, client.1).await));
        }
    }
    // One of them has surely been refused when this is.
    let refused = call(&admin.address, "GET", "/api/v1/subscribers").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    cluster.restart();
    let mut first = None;
    for (client, child) in sent {
        let ended = child.wait_with_output().await.expect("it ends");
        assert!(ended.status.success(), "{client:?}: {ended:?}");
        let told: Value = serde_json::from_slice(&ended.stdout).expect("an answer");
        assert_eq!(told["reference"], client.1);
        if told["made"] == true {
            first = Some(time(&told["at"]));
        }
    }

    let shown = world.expiry.json(&["subscriber", "show", PHONE]).await;
    let given = time(&shown["expires_at"]) - first.expect("one of them has made it");
    assert_eq!(given, TimeDelta::hours(4));
    assert_eq!(shown["revision"], 4, "each of four has paid once");
    assert_eq!(admin.service.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_payment_is_told_at_once_and_never_sent_again() {
    let world = World::new(None).await;
    let admin = Admin::start(&world.expiry, &[]).await;
    let taken = [
        "subscriber",
        "pay",
        PHONE,
        "--for",
        "9h",
        "--create",
        "--reference",
    ];
    for client in CLIENTS {
        let other = [&taken[..], &[client.1]].concat();
        world.expiry.ok(&other).await;
        let child = start(client, &admin, client.1).await;
        let ended = child.wait_with_output().await.expect("it ends");
        assert!(!ended.status.success(), "{client:?}: {ended:?}");
        let told = [ended.stdout, ended.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains("reference_reused"), "{client:?}: {told}");
    }
    assert_eq!(admin.service.terminate().await, 0);
}
