use std::sync::Arc;

use axum::http::{Method, StatusCode};
use expiry_core::{
    Directory, GatewayError, MockDirectory, MockRouterGateway, RouterGateway, StoreError,
    SystemClock, testing::memory::Fault as StoreFault,
};
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_subscriber_is_made_extended_and_revoked() {
    let world = World::new();
    let new = json!({
        "username": "+255700000001", "devices": ["aa-bb-cc-dd-ee-ff"], "for_seconds": 3600
    });
    let made = world.post("/api/v1/subscribers", new.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let location = made.headers["location"].clone();
    let made = made.json();
    assert_eq!(made["username"], "255700000001");
    assert_eq!(
        (&made["state"], &made["revision"]),
        (&json!("live"), &json!(1))
    );
    assert_eq!(made["devices"], json!(["AA:BB:CC:DD:EE:FF"]));
    let path = format!("/api/v1/subscribers/{}", made["id"]);
    assert_eq!(location, path);
    assert_eq!(world.get(&path).await.json(), made);

    let longer = world
        .post(&format!("{path}/extend"), json!({"seconds": 60}))
        .await
        .json();
    assert!(longer["access"]["at"].as_str() > made["access"]["at"].as_str());
    let until = json!({"until": "2999-01-01T00:00:00+03:00"});
    let until = world.post(&format!("{path}/extend"), until).await.json();
    assert_eq!(
        until["access"],
        json!({"kind": "until", "at": "2998-12-31T21:00:00Z"})
    );
    let revoked = world
        .call(Method::POST, &format!("{path}/revoke"), None)
        .await
        .json();
    assert_eq!(revoked["state"], "ended");

    let again = world.post("/api/v1/subscribers", new).await;
    assert_eq!(again.problem(), (409, "username_taken".into()));
    let other = json!({"username": "x", "devices": ["AA:BB:CC:DD:EE:FF"]});
    let other = world.post("/api/v1/subscribers", other).await;
    assert_eq!(other.problem(), (409, "device_taken".into()));
}

#[tokio::test]
async fn r11_a_password_that_cannot_be_sealed_is_refused_with_what_to_mend() {
    let why = "the key file /k is open to others: `chmod 600 /k`";
    let gateways = || {
        let mut gateway = MockRouterGateway::new();
        gateway.expect_probe().returning(move |_| {
            Err(GatewayError::Login {
                message: "no".into(),
            })
        });
        gateway.expect_close().return_const(());
        Arc::new(gateway) as Arc<dyn RouterGateway>
    };
    let world = World::wired(Arc::new(SystemClock), gateways, |service| {
        let mut directory = MockDirectory::new();
        directory.expect_routers().returning(|| Ok(Vec::new()));
        let refused = move |_: &_| Err(StoreError::Key(why.into()));
        directory.expect_add_router().returning(refused);
        service.directory = Arc::new(directory);
    });
    let router =
        json!({"name": "hill", "host": "192.0.2.2", "username": "u", "password": "secret"});

    let answer = world.post("/api/v1/routers", router).await;

    assert_eq!(answer.problem(), (409, "key_unusable".into()));
    assert_eq!(answer.json()["detail"], why);
    assert!(!answer.text.contains("secret"), "{}", answer.text);
}

#[tokio::test]
async fn r3_who_has_more_time_already_loses_none_by_being_extended() {
    let world = World::new();
    for (access, until, expected) in [
        (json!({"kind": "none"}), "2999-01-01T00:00:00Z", 200),
        (
            json!({"kind": "until", "at": "2999-01-01T00:00:00.000000001Z"}),
            "2999-01-01T00:00:00.000000001Z",
            200,
        ),
        (
            json!({"kind": "until", "at": "2999-01-01T00:00:00Z"}),
            "2998-12-31T23:59:59Z",
            400,
        ),
        (json!({"kind": "forever"}), "2999-01-01T00:00:00Z", 400),
    ] {
        let name = format!("{access} {until}");
        let new = json!({"username": name, "access": access});
        let made = world.post("/api/v1/subscribers", new).await.json();
        let path = format!("/api/v1/subscribers/{}", made["id"]);
        let until = json!({"until": until});
        let answer = world.post(&format!("{path}/extend"), until).await;
        assert_eq!(answer.status.as_u16(), expected, "{name}");
        if expected == 400 {
            assert_eq!(answer.problem(), (400, "invalid_body".into()));
            assert_eq!(world.get(&path).await.json(), made);
        }
    }
}

#[tokio::test]
async fn r12_what_is_wrong_with_a_body_is_said_and_nothing_is_done() {
    let world = World::new();
    let made = world
        .post("/api/v1/subscribers", json!({"username": "a"}))
        .await
        .json();
    assert_eq!(made["access"], json!({"kind": "none"}));
    let extend = format!("/api/v1/subscribers/{}/extend", made["id"]);
    for (path, body, part) in [
        (extend.as_str(), json!({}), "either"),
        (
            &extend,
            json!({"seconds": 1, "until": "2999-01-01T00:00:00Z"}),
            "either",
        ),
        (&extend, json!({"seconds": 0}), "seconds"),
        (&extend, json!({"seconds": -1}), "seconds"),
        (
            &extend,
            json!({"until": "2000-01-01T00:00:00Z"}),
            "not ahead",
        ),
        (&extend, json!({"until": "2999-01-01T00:00:00"}), "until"),
        (&extend, json!({"minutes": 1}), "minutes"),
        ("/api/v1/subscribers", json!({"username": ""}), "username"),
        (
            "/api/v1/subscribers",
            json!({"username": "b", "devices": ["x"]}),
            "MAC",
        ),
        (
            "/api/v1/subscribers",
            json!({"username": "b", "devices": ["020000000001", "02:00:00:00:00:01"]}),
            "twice",
        ),
        (
            "/api/v1/subscribers",
            json!({"username": "b", "access": {"kind": "until"}}),
            "at",
        ),
        (
            "/api/v1/subscribers",
            json!({"username": "b", "access": {"kind": "forever"}, "for_seconds": 1}),
            "both",
        ),
        ("/api/v1/subscribers", json!({"name": "b"}), "name"),
        (
            "/api/v1/routers",
            json!({"name": "r", "host": "a b", "username": "u", "password": "p"}),
            "host",
        ),
        (
            "/api/v1/routers",
            json!({"name": "r", "host": "a", "username": "u", "password": ""}),
            "password",
        ),
        (
            "/api/v1/routers",
            json!({"name": " r", "host": "a", "username": "u", "password": "p"}),
            "name",
        ),
    ] {
        let answer = world.post(path, body.clone()).await;
        assert_eq!(answer.problem(), (400, "invalid_body".into()), "{body}");
        let detail = answer.json()["detail"].as_str().expect("text").to_owned();
        assert!(detail.contains(part), "{detail}");
    }
    let all = world.get("/api/v1/subscribers").await.json();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn subscribers_are_searched_filtered_and_paged() {
    let world = World::new();
    world.store.add_tenant("acme", "Acme").await.expect("added");
    for n in 0..5 {
        let new = json!({"username": format!("25570000000{n}"), "for_seconds": 60});
        world.post("/api/v1/subscribers", new).await;
    }
    let new =
        json!({"username": "<img onerror=x>", "tenant": "acme", "devices": ["02:00:00:00:00:09"]});
    world.post("/api/v1/subscribers", new).await;
    let names = |json: &Value| -> Vec<String> {
        let items = json["items"].as_array().expect("a list").iter();
        items
            .map(|one| one["username"].as_str().expect("text").into())
            .collect()
    };
    let first = world.get("/api/v1/subscribers?limit=4").await.json();
    let next = first["next"].as_str().expect("more");
    let rest = world
        .get(&format!("/api/v1/subscribers?limit=4&cursor={next}"))
        .await
        .json();
    assert_eq!(rest["next"], Value::Null);
    let all = [names(&first), names(&rest)].concat();
    assert_eq!(all.len(), 6);
    for (query, expected) in [
        ("q=0003", vec!["255700000003"]),
        ("q=ONERROR", vec!["<img onerror=x>"]),
        ("q=02-00-00-00-00-09", vec!["<img onerror=x>"]),
        ("tenant=acme", vec!["<img onerror=x>"]),
        ("state=none", vec!["<img onerror=x>"]),
        ("state=ended", vec![]),
        ("state=live&q=0000004", vec!["255700000004"]),
        ("router=7", vec![]),
        ("q=%2B255700000003", vec!["255700000003"]),
        ("q=+255700000003", vec!["255700000003"]),
        ("q=0700000003", vec!["255700000003"]),
        ("q=%2B255+700+000+003", vec!["255700000003"]),
        ("q=700-000-003", vec!["255700000003"]),
        ("q=00255.700.000.003", vec!["255700000003"]),
    ] {
        let found = world
            .get(&format!("/api/v1/subscribers?{query}"))
            .await
            .json();
        assert_eq!(names(&found), expected, "{query}");
    }
    for (query, expected) in [
        ("limit=0", (400, "invalid_parameter")),
        ("limit=501", (400, "invalid_parameter")),
        ("cursor=x", (400, "invalid_parameter")),
        ("state=asleep", (400, "invalid_parameter")),
        ("tenant=nobody", (404, "tenant_not_found")),
    ] {
        let answer = world.get(&format!("/api/v1/subscribers?{query}")).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.into()), "{query}");
    }
}

#[tokio::test]
async fn twelve_digits_are_looked_for_as_a_phone_number_and_as_a_mac() {
    let world = World::new();
    for new in [
        json!({"username": "447700900123"}),
        json!({"username": "john", "devices": ["44:77:00:90:01:23"]}),
        json!({"username": "447700900124"}),
    ] {
        world.post("/api/v1/subscribers", new).await;
    }
    for q in ["447700900123", "%2B447700900123"] {
        let path = format!("/api/v1/subscribers?q={q}");
        let found = world.get(&path).await.json();
        assert_eq!(found["items"][0]["username"], "447700900123", "{q}");
        let john = found["items"][1]["username"].as_str();
        assert_eq!(john, (q == "447700900123").then_some("john"), "{q}");
        assert_eq!(found["items"][2], Value::Null, "{q}");
    }
}

#[tokio::test]
async fn nobody_reads_the_state_of_everything_to_know_the_time_or_one_router() {
    let world = World::new();
    let router = world.router("tower").await;
    world.store.fail_when(|operation| match operation {
        "status" => expiry_core::testing::memory::Fault::Before,
        _ => expiry_core::testing::memory::Fault::None,
    });
    let new = json!({"username": "255700000001", "for_seconds": 60});
    let made = world.post("/api/v1/subscribers", new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let id = made.json()["id"].as_i64().expect("a number");
    let extend = format!("/api/v1/subscribers/{id}/extend");
    let until = json!({"until": "2999-12-31T20:00:00Z"});
    assert_eq!(world.post(&extend, until).await.status, StatusCode::OK);
    let shown = world.get(&format!("/api/v1/routers/{router}")).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    // One that was just added is not in what is a second old.
    world.store.heal();
    let later = world.router_at("later", 8729).await;
    let shown = world.get(&format!("/api/v1/routers/{later}")).await;
    assert_eq!(shown.json()["name"], "later");
}

#[tokio::test]
async fn a_router_is_added_shown_disabled_and_enabled() {
    let world = World::new();
    let new = json!({"name": "tower", "host": "10.8.0.2", "username": "u", "password": "secret"});
    let made = world.post("/api/v1/routers", new.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert!(!made.text.contains("secret"));
    let location = made.headers["location"].clone();
    let made = made.json();
    assert_eq!(location, format!("/api/v1/routers/{}", made["id"]));
    assert_eq!(
        (&made["state"], &made["address"]),
        (&json!("new"), &json!("10.8.0.2:8728"))
    );
    let path = format!("/api/v1/routers/{}", made["id"]);
    let disabled = world
        .call(Method::POST, &format!("{path}/disable"), None)
        .await
        .json();
    assert_eq!(disabled["state"], "disabled");
    assert_eq!(world.get(&path).await.json()["enabled"], false);
    let enabled = world
        .call(Method::POST, &format!("{path}/enable"), None)
        .await
        .json();
    assert_eq!(enabled["state"], "new");
    let strays = world.get(&format!("{path}/strays")).await.json();
    assert_eq!(
        (&strays["items"], &strays["read_at"]),
        (&json!([]), &Value::Null)
    );
    let again = world.post("/api/v1/routers", new).await;
    assert_eq!(again.problem(), (409, "router_name_taken".into()));
    let moved = json!({"name": "other", "host": "10.8.0.2", "username": "u", "password": "p"});
    let moved = world.post("/api/v1/routers", moved).await;
    assert_eq!(moved.problem(), (409, "router_address_taken".into()));
    let list = world.get("/api/v1/routers").await.json();
    assert_eq!(list["next"], Value::Null);
}

#[tokio::test]
async fn what_is_not_there_has_a_code_of_its_own() {
    let world = World::new();
    for (method, path, expected) in [
        (Method::GET, "/api/v1/nothing", (404, "not_found")),
        (Method::GET, "/nothing", (404, "not_found")),
        (Method::PUT, "/api/v1/overview", (405, "method_not_allowed")),
        (
            Method::GET,
            "/api/v1/subscribers/9",
            (404, "subscriber_not_found"),
        ),
        (
            Method::GET,
            "/api/v1/subscribers/9/explain",
            (404, "subscriber_not_found"),
        ),
        (
            Method::POST,
            "/api/v1/subscribers/9/revoke",
            (404, "subscriber_not_found"),
        ),
        (Method::GET, "/api/v1/routers/9", (404, "router_not_found")),
        (
            Method::POST,
            "/api/v1/routers/9/test",
            (404, "router_not_found"),
        ),
        (
            Method::POST,
            "/api/v1/routers/9/enable",
            (404, "router_not_found"),
        ),
        (
            Method::POST,
            "/api/v1/routers/9/disable",
            (404, "router_not_found"),
        ),
        (
            Method::GET,
            "/api/v1/routers/9/strays",
            (404, "router_not_found"),
        ),
        (
            Method::GET,
            "/api/v1/routers/nine",
            (400, "invalid_parameter"),
        ),
        (
            Method::GET,
            "/api/v1/events?after=x",
            (400, "invalid_parameter"),
        ),
        (
            Method::GET,
            "/api/v1/events?after=0-0&last=1",
            (400, "invalid_parameter"),
        ),
        (
            Method::GET,
            "/api/v1/owed?want=more",
            (400, "invalid_parameter"),
        ),
        (
            Method::GET,
            "/api/v1/owed?cursor=-1",
            (400, "invalid_parameter"),
        ),
        (
            Method::GET,
            "/api/v1/owed?cursor=1.2.3.4.5",
            (400, "invalid_parameter"),
        ),
        (
            Method::GET,
            "/api/v1/upcoming?limit=501",
            (400, "invalid_parameter"),
        ),
    ] {
        let answer = world.call(method, path, None).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.into()), "{path}");
    }
}

#[tokio::test]
async fn r9_who_gave_an_order_reads_what_came_of_it() {
    let world = World::new();
    let router = world.router("tower").await;
    let live = world.subscriber("255700000001", 3_600).await;
    let (router, subscriber) = (
        format!("/api/v1/routers/{router}"),
        format!("/api/v1/subscribers/{}", live.id),
    );
    let enabled = async || world.get(&router).await.json()["enabled"].take();
    let state = async || world.get(&subscriber).await.json()["state"].take();
    assert_eq!(
        (enabled().await, state().await),
        (json!(true), json!("live"))
    );
    for (order, expected) in [("disable", false), ("enable", true)] {
        let order = format!("{router}/{order}");
        let told = world.call(Method::POST, &order, None).await.json();
        assert_eq!(told["enabled"], expected);
        assert_eq!(enabled().await, expected);
    }
    let revoke = format!("{subscriber}/revoke");
    world.call(Method::POST, &revoke, None).await;
    assert_eq!(state().await, "ended");
    let explain = world.get(&format!("{subscriber}/explain")).await.json();
    assert_eq!(explain["subscriber"]["state"], "ended");
    let overview = world.get("/api/v1/overview").await.json();
    assert_eq!(overview["counts"]["live_subscribers"], 0);
    let again = json!({"seconds": 60});
    world.post(&format!("{subscriber}/extend"), again).await;
    assert_eq!(state().await, "live");
}

#[tokio::test]
async fn r9_lists_say_what_is_ahead_owed_and_explained() {
    let world = World::new();
    world.router("tower").await;
    let over = world.subscriber("over", -60).await;
    let new = json!({"username": "next", "for_seconds": 60});
    world.post("/api/v1/subscribers", new).await;
    let overview = world.get("/api/v1/overview").await.json();
    assert_eq!(overview["health"], "critical");
    assert_eq!(overview["counts"]["owed_subscribers"], 1);
    assert_eq!(overview["counts"]["live_subscribers"], 1);
    assert_eq!(overview["routers"][0]["name"], "tower");
    let ahead = world.get("/api/v1/upcoming").await.json();
    assert_eq!(ahead["items"][0]["username"], "next");
    let owed = world.get("/api/v1/owed?want=cut").await.json();
    assert_eq!((&owed["total"], &owed["next"]), (&json!(1), &Value::Null));
    let item = &owed["items"][0];
    assert_eq!(
        (&item["reason"], &item["router"]),
        (&json!("unconfirmed"), &json!("tower"))
    );
    assert!(item["seconds_owed"].as_i64() >= Some(59));
    let more =
        json!({"username": "later", "access": {"kind": "until", "at": "2026-01-01T00:00:00Z"}});
    world.post("/api/v1/subscribers", more).await;
    let owed = world.get("/api/v1/owed?limit=1").await.json();
    let next = owed["next"].as_str().expect("one more is owed");
    let rest = format!("/api/v1/owed?limit=1&cursor={next}");
    let rest = world.get(&rest).await.json();
    let names = [&owed, &rest].map(|page| page["items"][0]["username"].clone());
    assert_eq!(names, ["later", "over"]);
    assert_eq!((&rest["total"], &rest["next"]), (&json!(2), &Value::Null));
    let explained = world
        .get(&format!("/api/v1/subscribers/{}/explain", over.id))
        .await
        .json();
    assert_eq!(explained["summary"], json!(["over"]));
    assert_eq!(explained["events"][0]["kind"], "subscriber_added");
    let lag = world.get("/api/v1/lag").await.json();
    assert_eq!(lag["all"]["cuts"]["count"], 0);
    assert_eq!(
        lag["all"]["cuts"]["buckets"].as_array().map(Vec::len),
        Some(18)
    );
    let events = world.get("/api/v1/events?last=1").await.json();
    assert_eq!(events["items"][0]["username"], "later");
    let next = events["next"].as_str().expect("an id");
    let after = world
        .get(&format!("/api/v1/events?after={next}"))
        .await
        .json();
    assert_eq!(
        (&after["items"], &after["next"]),
        (&json!([]), &json!(next))
    );
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_503_for_each() {
    let world = World::new();
    world.store.fail_when(|_| StoreFault::Before);
    for path in [
        "/api/v1/overview",
        "/api/v1/routers",
        "/api/v1/routers/1",
        "/api/v1/subscribers",
        "/api/v1/subscribers/1",
        "/api/v1/upcoming",
        "/api/v1/owed",
        "/api/v1/lag",
        "/api/v1/events",
        "/api/v1/events/stream",
        "/metrics",
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            answer.problem(),
            (503, "database_unavailable".into()),
            "{path}"
        );
        assert_eq!(answer.headers["retry-after"], "1", "{path}");
    }
}

#[tokio::test]
async fn who_sends_a_phone_number_is_told_whose_is_like_it_and_nobody_of_a_tenant() {
    let world = World::new();
    let near = world.subscriber("255712000037", 60).await;
    let tenant = world.store.add_tenant("acme", "Acme").await.expect("added");
    let other = expiry_core::NewSubscriber {
        tenant: Some(tenant.id),
        username: "255712000038".parse().expect("a name"),
        service: expiry_core::Service::Hotspot,
        access: expiry_core::Access::Forever,
        router: None,
        devices: [].into(),
    };
    world.store.add_subscriber(&other).await.expect("added");
    let extend = Some(json!({"seconds": 60}));
    for (method, after, body) in [
        (Method::POST, "/extend", extend),
        (Method::POST, "/revoke", None),
        (Method::GET, "", None),
        (Method::GET, "/explain", None),
    ] {
        for number in ["0712000037", "%2B255712000039"] {
            let path = format!("/api/v1/subscribers/{number}{after}");
            let answer = world.call(method.clone(), &path, body.clone()).await;
            assert_eq!(answer.problem(), (404, "subscriber_not_found".into()));
            let told = answer.json()["detail"].take();
            let told = told.as_str().expect("text");
            let expected = format!("`255712000037` is {}", near.id.0);
            assert!(told.ends_with(&expected), "{told}");
            assert!(!told.contains("255712000038"), "{told}");
        }
        let path = format!("/api/v1/subscribers/99{after}");
        let answer = world.call(method, &path, body).await;
        assert_eq!(answer.json()["detail"], "no subscriber 99");
    }
}

#[tokio::test]
async fn r12_a_time_without_an_offset_is_refused_by_its_field() {
    let world = World::new();
    let somebody = world.subscriber("255700000001", 600).await;
    let extend = format!("/api/v1/subscribers/{}/extend", somebody.id.0);
    let naive = "2030-12-31T18:05:00";
    for (path, body, field) in [
        (
            "/api/v1/subscribers",
            json!({"username": "a", "access": {"kind": "until", "at": naive}}),
            "access: at: ",
        ),
        (extend.as_str(), json!({"until": naive}), "until: "),
        (
            "/api/v1/payments",
            json!({"reference": "QK7", "username": "255700000001", "until": naive}),
            "until: ",
        ),
    ] {
        let refused = world.post(path, body).await;
        let status = refused.problem();
        assert_eq!(status.0, 400, "{path}");
        assert_eq!(status.1, "invalid_body", "{path}");
        let told = refused.json()["detail"].as_str().expect("text").to_owned();
        let expected = format!("{field}`{naive}` has no offset");
        assert!(told.contains(&expected), "{path}: {told}");
    }
    let until = json!({"until": "2030-12-31T21:05:00+03:00"});
    let extended = world.post(&extend, until).await;
    assert_eq!(extended.json()["access"]["at"], "2030-12-31T18:05:00Z");
    let nothing = json!({"until": null, "seconds": 60});
    assert_eq!(world.post(&extend, nothing).await.status, StatusCode::OK);
}

#[tokio::test]
async fn r1_nobody_is_made_anew_whom_a_tenant_knows_unless_that_is_said() {
    let world = World::new();
    world.store.add_tenant("acme", "Acme").await.expect("added");
    let path = "/api/v1/subscribers";
    let of_acme = json!({"username": "255700000001", "tenant": "acme"});
    assert_eq!(world.post(path, of_acme).await.status, StatusCode::CREATED);

    let refused = world.post(path, json!({"username": "255700000001"})).await;
    assert_eq!(refused.problem(), (409, "tenant_missing".into()));
    let told = refused.json()["detail"].as_str().expect("text").to_owned();
    assert!(told.contains("known in tenant `acme`"), "{told}");
    let found = world.get("/api/v1/subscribers?q=255700000001").await.json();
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));

    let said = json!({"username": "255700000001", "tenant": null});
    let made = world.post(path, said.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.json()["tenant"], Value::Null);
    for again in [said, json!({"username": "255700000001"})] {
        let taken = world.post(path, again).await;
        assert_eq!(taken.problem(), (409, "username_taken".into()));
    }
    let other = json!({"username": "255700000002"});
    assert_eq!(world.post(path, other).await.status, StatusCode::CREATED);
}
