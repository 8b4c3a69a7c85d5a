use super::Tried;
use crate::{Cause, GatewayError, Router, RouterId, Trouble};

/// The boxes that are known, with their routers.
#[derive(Clone, Debug, Default)]
pub struct Boxes {
    serials: Vec<Named>,
    system_ids: Vec<Named>,
}

/// What a box says of itself, and its router.
#[derive(Clone, Debug)]
struct Named {
    router: RouterId,
    name: String,
    id: String,
}

impl Boxes {
    /// Returns those of which the serial number is on record.
    pub fn on_record<'r>(routers: impl IntoIterator<Item = &'r Router>) -> Self {
        let serial = |router: &Router| {
            let id = router.seen.as_ref()?.serial.clone()?;
            Some(Named {
                router: router.id,
                name: router.name.clone(),
                id,
            })
        };
        Self {
            serials: routers.into_iter().filter_map(serial).collect(),
            system_ids: Vec::new(),
        }
    }

    /// Keeps the box that answered as this router.
    pub fn keep(&mut self, router: &Router, tried: &Tried) {
        let named = |id: &String| Named {
            router: router.id,
            name: router.name.clone(),
            id: id.clone(),
        };
        let serial = tried.facts.hardware.serial.as_ref();
        self.serials.extend(serial.map(named));
        let system_id = tried.survey.system_id.as_ref();
        self.system_ids.extend(system_id.map(named));
    }

    /// Compares the box that answered as this router with those of all others. That a
    /// system-id is that of another becomes a warning: it may be a clone.
    ///
    /// # Errors
    /// It is the box of another router, by its serial number.
    pub fn compare(&self, router: &Router, tried: &mut Tried) -> Result<(), Trouble> {
        let serial = tried.facts.hardware.serial.as_deref();
        if let Some((other, serial)) = of_another(&self.serials, router.id, serial) {
            let error = GatewayError::SameBox {
                router: other.to_owned(),
                serial: serial.to_owned(),
            };
            return Err(error.into());
        }
        let id = tried.survey.system_id.as_deref();
        if let Some((other, id)) = of_another(&self.system_ids, router.id, id) {
            let seen = format!("router `{other}` has the same system-id, {id}");
            let cause = Cause::SameSystemId;
            tried.warnings.push(Trouble { cause, seen });
        }
        Ok(())
    }
}

fn of_another<'a>(
    known: &'a [Named],
    router: RouterId,
    id: Option<&str>,
) -> Option<(&'a str, &'a str)> {
    let mut others = known.iter().filter(|known| known.router != router);
    let other = others.find(|known| Some(known.id.as_str()) == id)?;
    Some((&other.name, &other.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hardware, RouterAddress, RouterFacts, Survey};

    fn router(number: i64) -> Router {
        Router {
            id: RouterId(number),
            name: format!("r{number}"),
            tenant: None,
            address: RouterAddress {
                host: "10.0.0.1".into(),
                port: 8728,
                username: "expiry".into(),
            },
            enabled: true,
            seen: None,
        }
    }

    fn tried(serial: Option<&str>, system_id: Option<&str>) -> Tried {
        Tried {
            facts: RouterFacts {
                hardware: Hardware {
                    identity: "hill".into(),
                    serial: serial.map(Into::into),
                },
                version: None,
                board: None,
                uptime: None,
                clock: None,
            },
            survey: Survey {
                system_id: system_id.map(Into::into),
                ..Survey::default()
            },
            round_trip: std::time::Duration::ZERO,
            clock_ahead: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_box_is_known_again_by_its_serial_number_alone() {
        let mut boxes = Boxes::default();
        boxes.keep(&router(0), &tried(None, None));
        boxes.keep(&router(1), &tried(Some("HF1"), Some("id1")));
        let compare = |number, serial| boxes.compare(&router(number), &mut tried(serial, None));
        let twin = compare(2, Some("HF1")).expect_err("known");
        assert_eq!(twin.cause, Cause::SameBox);
        assert!(twin.seen.contains("`r1`"), "{}", twin.seen);
        assert_eq!(compare(1, Some("HF1")), Ok(()));
        assert_eq!(compare(2, Some("HF2")), Ok(()));
        assert_eq!(compare(2, None), Ok(()));
        let mut clone = tried(None, Some("id1"));
        assert_eq!(boxes.compare(&router(2), &mut clone), Ok(()));
        let causes: Vec<_> = clone.warnings.iter().map(|warning| warning.cause).collect();
        assert_eq!(causes, [Cause::SameSystemId]);
    }
}
