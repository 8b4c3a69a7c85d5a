use expiry_core::{Event, RouterId, WayIn};

pub(crate) fn is_cut_on(on: RouterId) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Cut { router, .. } if *router == on)
}

pub(crate) fn is_restored(event: &Event) -> bool {
    matches!(event, Event::Restored { .. })
}

pub(crate) fn has_returned(by: WayIn) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Returned { way_in, .. } if *way_in == by)
}
