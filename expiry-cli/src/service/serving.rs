use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use expiry_core::{Event, EventSink, RouterId};

use crate::output::count;

/// Most routers that the line names.
const NAMED: usize = 3;

/// What this process serves, in one line.
#[derive(Debug, Default)]
pub(crate) struct Serving(Mutex<BTreeMap<RouterId, Served>>);

#[derive(Debug)]
struct Served {
    name: String,
    lost: bool,
}

impl EventSink for Serving {
    fn record(&self, event: &Event) {
        let mut routers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        }
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
}
