use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use expiry_core::{Brake, Event, EventSink, RouterId};

use crate::output::count;

/// Most routers that the line names.
const NAMED: usize = 3;

/// What this process serves, or why it serves nothing, in one line.
#[derive(Debug, Default)]
pub(crate) struct Serving(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    routers: BTreeMap<RouterId, Served>,
    /// What holds now, the oldest first.
    brakes: Vec<Brake>,
}

#[derive(Debug)]
struct Served {
    name: String,
    lost: bool,
}

impl EventSink for Serving {
    fn record(&self, event: &Event) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Heard { routers, brakes } = &mut *heard;
        if let Event::Owned { router, name } = event {
            let (name, lost) = (name.clone(), false);
            routers.insert(*router, Served { name, lost });
        } else if let Event::Disowned { router, .. } = event {
            routers.remove(router);
        } else if let Event::RouterLost { router, .. } = event {
            routers
                .entry(*router)
                .and_modify(|served| served.lost = true);
        } else if let Event::RouterReached { router, .. } = event {
            routers
                .entry(*router)
                .and_modify(|served| served.lost = false);
        } else if let Event::Braked { brake } = event {
            brakes.push(brake.clone());
        } else if let Event::BrakeEnded { brake } = event {
            brakes.retain(|held| !held.is_same(brake));
        }
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Heard { routers, brakes } = &*heard;
        if !brakes.is_empty() {
            let why: Vec<_> = brakes.iter().map(ToString::to_string).collect();
            let why = why.join("; ");
            return write!(f, "BRAKED: {why}; `expiryctl brake` says what to do");
        }
        if routers.is_empty() {
            return f.write_str("serving no router: none is enabled, or another watcher has them");
        }
        write!(f, "serving {}", count(routers.len() as u64, "router"))?;
        let lost = routers.values().filter(|served| served.lost);
        let names: Vec<_> = lost.map(|served| served.name.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let shown = &names[..names.len().min(NAMED)];
        write!(f, ", {} without answer: {}", names.len(), shown.join(", "))?;
        if shown.len() < names.len() {
            f.write_str(", …")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn the_line_names_the_routers_that_do_not_answer() {
        let serving = Serving::default();
        assert!(serving.to_string().starts_with("serving no router"));
        for n in 1..=5 {
            let (router, name) = (RouterId(n), format!("r{n}"));
            serving.record(&Event::Owned { router, name });
        }
        assert_eq!(serving.to_string(), "serving 5 routers");
        for n in 1..=4 {
            serving.record(&Event::RouterLost {
                router: RouterId(n),
                name: format!("r{n}"),
                error: "gone".into(),
                cause: expiry_core::Cause::ConnectionLost,
            });
        }
        let expected = "serving 5 routers, 4 without answer: r1, r2, r3, …";
        assert_eq!(serving.to_string(), expected);
        for n in 2..=4 {
            let (router, name) = (RouterId(n), format!("r{n}"));
            serving.record(&Event::RouterReached { router, name });
        }
        serving.record(&Event::Disowned {
            router: RouterId(5),
            name: "r5".into(),
        });
        assert_eq!(
            serving.to_string(),
            "serving 4 routers, 1 without answer: r1"
        );
    }

    #[test]
    fn r10_while_a_brake_holds_the_line_says_so_and_why() {
        let serving = Serving::default();
        let (router, name) = (RouterId(1), "tower".to_owned());
        serving.record(&Event::Owned {
            router,
            name: name.clone(),
        });
        let clock = |since: i64, agreed_ms| Brake::Clock {
            machine: "vps1".into(),
            since: DateTime::from_timestamp_nanos(since),
            apart_ms: Some(-7_250),
            jumped_ms: None,
            agreed_ms,
        };
        serving.record(&Event::Braked {
            brake: clock(1, None),
        });
        serving.record(&Event::Disowned { router, name });
        let expected = "BRAKED: the clocks of vps1 and of the database differ by 7.2 s; \
                        `expiryctl brake` says what to do";
        assert_eq!(serving.to_string(), expected);
        serving.record(&Event::BrakeEnded {
            brake: clock(2, Some(5)),
        });
        assert_eq!(serving.to_string(), expected, "another one ended");
        serving.record(&Event::BrakeEnded {
            brake: clock(1, Some(5)),
        });
        assert!(serving.to_string().starts_with("serving no router"));
    }
}
