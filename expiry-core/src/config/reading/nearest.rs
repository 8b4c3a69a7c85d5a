/// Words that are less alike than this are not the same word with a slip in it.
const ALIKE: f64 = 0.8;

/// Finds the one of `known` that was probably meant.
pub(super) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = known
        .into_iter()
        .map(|known| (likeness(given, known), known));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score >= ALIKE)
        .map(|(_, known)| known)
}

/// Compares whole names, and also what stands after the section: a right key in a wrong section is
/// near, too.
fn likeness(given: &str, known: &str) -> f64 {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_lowercase();
    let whole = strsim::jaro_winkler(&given.to_lowercase(), &known.to_lowercase());
    let end = strsim::jaro_winkler(&last(given), &last(known));
    whole.max(end * 0.99)
}

/// Ends a message with the word that was probably meant, or else with all there are.
pub(super) fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    match nearest(given, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_and_a_wrong_section_are_near_and_nonsense_is_not() {
        let known = [
            "database",
            "watcher.interval",
            "watcher.looks",
            "gateway.silence",
        ];
        for (given, near) in [
            ("databse", Some("database")),
            ("watcher.intervall", Some("watcher.interval")),
            ("watcher.Interval", Some("watcher.interval")),
            ("interval", Some("watcher.interval")),
            ("gateway.interval", Some("watcher.interval")),
            ("gateway.silense", Some("gateway.silence")),
            ("colour", None),
        ] {
            assert_eq!(nearest(given, known), near, "{given}");
        }
    }
}
