use expiry_core::{
    Cause, DropOrder, GatewayError, Hardware, HotspotServer, MockPasswordStore, MockRouterGateway,
    NoPassword, NoPasswordCause, Query, Refusal, RouterAddress, RouterFacts, RouterId, RouterLogin,
    RowKind, Sighting, Survey,
};

use super::*;
use crate::{commands::doctor::check::State, output::Output};

fn router(id: i64, host: &str) -> Router {
    Router {
        id: RouterId(id),
        name: format!("r{id}"),
        tenant: None,
        address: RouterAddress {
            host: host.into(),
            port: 8728,
            username: "expiry".into(),
        },
        enabled: true,
        seen: None,
    }
}

fn facts() -> RouterFacts {
    RouterFacts {
        hardware: Hardware {
            identity: "gw".into(),
            serial: None,
        },
        version: Some("7.18.2 (stable)".into()),
        board: Some("hAP".into()),
        uptime: None,
        clock: None,
    }
}

/// Knows the passwords of all routers but the one with number 9.
fn passwords() -> Arc<dyn PasswordStore> {
    let mut passwords = MockPasswordStore::new();
    passwords.expect_router_login().returning(|id| {
        let router = router(id.0, "10.0.0.1");
        if id == RouterId(9) {
            let (router, cause) = (router.name, NoPasswordCause::Damaged);
            return Err(NoPassword { router, cause }.into());
        }
        let password = "hunter2".into();
        Ok(RouterLogin { router, password })
    });
    Arc::new(passwords)
}

/// A gateway to a router that is right, but for what a test changes first.
fn healthy(mut gateway: MockRouterGateway) -> MockRouterGateway {
    gateway.expect_probe().returning(|_| Ok(facts()));
    gateway
        .expect_look()
        .returning(|_, _| Ok(Sighting::default()));
    gateway.expect_survey().returning(|_| Ok(Survey::default()));
    gateway.expect_drop_rows().returning(|_, _| Ok(Vec::new()));
    gateway.expect_close().returning(|_| ());
    gateway
}

async fn examined(gateway: MockRouterGateway, routers: Vec<Router>) -> Vec<Check> {
    let gateway: Arc<dyn RouterGateway> = Arc::new(gateway);
    let mut bytes = Vec::new();
    let mut out = Output::new(&mut bytes, false);
    let mut findings = Findings::new(&mut out);
    examine(routers, &passwords(), &gateway, &mut findings)
        .await
        .expect("printed");
    findings.into_checks()
}

#[tokio::test]
async fn a_router_that_is_right_is_described() {
    let checks = examined(
        healthy(MockRouterGateway::new()),
        vec![router(1, "10.0.0.1")],
    )
    .await;
    let found = "connected, logged in, may read and write, RouterOS 7.18.2 (stable), hAP, round";
    assert_eq!(checks[0].state, State::Ok);
    assert!(checks[0].found.starts_with(found), "{}", checks[0]);
}

#[tokio::test]
async fn each_step_that_fails_is_named_with_what_to_do() {
    let failures = [
        (
            GatewayError::Connect {
                address: "10.0.0.1:8728".into(),
                how: expiry_core::Unreached::TimedOut,
                reason: "no connection after 3 s".into(),
            },
            "connecting failed",
            "VPN",
        ),
        (
            GatewayError::Login {
                message: "invalid user name or password (6)".into(),
            },
            "logging in failed",
            "expiryctl router set r1",
        ),
        (
            GatewayError::WrongRouter {
                expected: "a".into(),
                found: "b".into(),
            },
            "recognising the box failed",
            "expiryctl router accept r1",
        ),
    ];
    for (failure, step, advice) in failures {
        let mut gateway = MockRouterGateway::new();
        gateway
            .expect_probe()
            .returning(move |_| Err(failure.clone()));
        gateway.expect_close().returning(|_| ());
        let check = &examined(gateway, vec![router(1, "10.0.0.1")]).await[0];
        assert_eq!(check.state, State::Failed);
        assert!(check.found.starts_with(step), "{check}");
        assert!(
            check.advice.as_ref().is_some_and(|a| a.contains(advice)),
            "{check}"
        );
    }
}

#[tokio::test]
async fn a_password_that_does_not_open_is_a_fault_of_its_router_alone() {
    let routers = vec![router(1, "10.0.0.1"), router(9, "10.0.0.9")];
    let mut checks = examined(healthy(MockRouterGateway::new()), routers).await;
    checks.sort_by(|a, b| a.check.cmp(&b.check));
    assert_eq!(
        (checks[0].state, checks[1].state),
        (State::Ok, State::Failed)
    );
    let cure = "expiryctl router set r9 --password-file";
    let advice = checks[1].advice.as_deref().unwrap_or_default();
    assert!(advice.contains(cure), "{}", checks[1]);
}

#[tokio::test]
async fn an_account_that_may_not_write_is_found_out_without_a_cut() {
    let mut gateway = MockRouterGateway::new();
    gateway.expect_drop_rows().returning(|_, order| {
        Ok(vec![Refusal {
            kind: RowKind::Session,
            row: order.actives[0].clone(),
            message: "not enough permissions (9)".into(),
        }])
    });
    let check = &examined(healthy(gateway), vec![router(1, "10.0.0.1")]).await[0];
    let found = "permission to write failed: not enough permissions (9)";
    assert!(check.found.starts_with(found), "{check}");
    assert_eq!(
        (check.state, check.cause),
        (State::Failed, Some(Cause::NoWritePolicy))
    );
    let mut gateway = MockRouterGateway::new();
    gateway.expect_look().returning(|_, _| {
        Err(GatewayError::Refused {
            command: "/ip/hotspot/user/print".into(),
            message: "not enough permissions (9)".into(),
        })
    });
    let check = &examined(healthy(gateway), vec![router(1, "10.0.0.1")]).await[0];
    assert!(check.found.starts_with("reading failed"), "{check}");
    assert_eq!(check.cause, Some(Cause::NoReadPolicy));
}

#[tokio::test(start_paused = true)]
async fn r4_routers_that_say_nothing_cost_the_others_nothing_and_end_in_time() {
    struct Silent(MockRouterGateway);
    #[async_trait::async_trait]
    impl RouterGateway for Silent {
        async fn look(&self, login: &RouterLogin, query: &Query) -> Result<Sighting, GatewayError> {
            self.0.look(login, query).await
        }
        async fn block(
            &self,
            router: &Router,
            order: &expiry_core::BlockOrder,
            query: &Query,
        ) -> Result<(Sighting, Vec<Refusal>), GatewayError> {
            self.0.block(router, order, query).await
        }
        async fn drop_rows(
            &self,
            router: &Router,
            order: &DropOrder,
        ) -> Result<Vec<Refusal>, GatewayError> {
            self.0.drop_rows(router, order).await
        }
        async fn unblock(
            &self,
            router: &Router,
            order: &expiry_core::UnblockOrder,
        ) -> Result<Vec<Refusal>, GatewayError> {
            self.0.unblock(router, order).await
        }
        async fn sessions(&self, login: &RouterLogin) -> Result<Sighting, GatewayError> {
            self.0.sessions(login).await
        }
        async fn probe(&self, login: &RouterLogin) -> Result<RouterFacts, GatewayError> {
            if login.router.id.0 > 1 {
                std::future::pending::<()>().await;
            }
            self.0.probe(login).await
        }
        async fn close(&self, router: RouterId) {
            self.0.close(router).await;
        }
    }
    let gateway: Arc<dyn RouterGateway> = Arc::new(Silent(healthy(MockRouterGateway::new())));
    let routers: Vec<_> = (1..=300).map(|id| router(id, "10.0.0.1")).collect();
    let mut bytes = Vec::new();
    let mut out = Output::new(&mut bytes, false);
    let mut findings = Findings::new(&mut out);
    let started = Instant::now();
    examine(routers, &passwords(), &gateway, &mut findings)
        .await
        .expect("printed");
    assert!(started.elapsed() <= PATIENCE);
    let checks = findings.into_checks();
    assert_eq!(checks.len(), 300);
    let fine: Vec<_> = checks.iter().filter(|c| c.state == State::Ok).collect();
    assert_eq!(fine.len(), 1);
    assert_eq!(fine[0].check, "router r1");
}

#[tokio::test]
async fn the_same_box_twice_is_named_by_the_other_router() {
    let mut gateway = MockRouterGateway::new();
    gateway.expect_probe().returning(|_| {
        let mut facts = facts();
        facts.hardware.serial = Some("HF1".into());
        Ok(facts)
    });
    let mut known = router(1, "10.0.0.1");
    known.seen = Some(Hardware {
        identity: "gw".into(),
        serial: Some("HF1".into()),
    });
    let checks = examined(healthy(gateway), vec![known, router(2, "10.0.0.2")]).await;
    let twin = checks.iter().find(|check| check.check == "router r2");
    let twin = twin.expect("a check");
    assert_eq!(
        (twin.state, twin.cause),
        (State::Failed, Some(Cause::SameBox))
    );
    assert!(twin.found.contains("`r1`"), "{twin}");
    let first = checks.iter().find(|check| check.check == "router r1");
    assert_eq!(first.expect("a check").state, State::Ok);
}

#[tokio::test]
async fn clones_and_a_clock_of_1970_and_a_hotspot_without_server_are_warnings() {
    let mut gateway = MockRouterGateway::new();
    gateway.expect_probe().returning(|_| {
        Ok(RouterFacts {
            clock: "1970-01-02T00:00:05Z".parse().ok(),
            ..facts()
        })
    });
    gateway.expect_survey().returning(|_| {
        Ok(Survey {
            servers: Some(vec![HotspotServer {
                name: "hs1".into(),
                is_on: false,
            }]),
            system_id: Some("9Hs2".into()),
            ..Survey::default()
        })
    });
    let routers = vec![router(1, "10.0.0.1"), router(2, "10.0.0.2")];
    let checks = examined(healthy(gateway), routers).await;
    let count = |cause| {
        checks
            .iter()
            .filter(|check| check.cause == Some(cause))
            .count()
    };
    assert_eq!(count(Cause::ClockNotSet), 2);
    assert_eq!(count(Cause::NoHotspotServer), 2);
    assert_eq!(count(Cause::SameSystemId), 1);
    assert!(
        checks.iter().all(|check| check.state != State::Failed),
        "{checks:?}"
    );
}
