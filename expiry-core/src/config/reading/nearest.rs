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

/// Compares what stands after the section: a right key in a wrong section is near, too. Words that
/// both begin with say nothing: `min_window` is not `min_trays` with a slip in it.
fn likeness(given: &str, known: &str) -> f64 {
    let split = |name: &str| {
        let name = name.to_lowercase();
        let (section, key) = name.rsplit_once('.').unwrap_or(("", &name));
        (section.to_owned(), key.to_owned())
    };
    let ((section, given), (known_section, known)) = (split(given), split(known));
    let (given, known) = without_common_words(&given, &known);
    let alike = strsim::jaro_winkler(given, known);
    if section == known_section {
        alike
    } else {
        alike * 0.99
    }
}

fn without_common_words<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    let common = one.bytes().zip(other.bytes());
    let common = common.take_while(|(a, b)| a == b).count();
    let words = one.as_bytes()[..common].iter().rposition(|b| *b == b'_');
    let from = words.map_or(0, |last| last + 1);
    (&one[from..], &other[from..])
}

/// Ends a message with the word that was probably meant, or else with all there are.
pub(super) fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    suggest_as(given, known, ToOwned::to_owned)
}

/// Does the same for words that are compared as something else.
pub(super) fn suggest_as<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
    compared: impl Fn(&str) -> String,
) -> String {
    let known: Vec<_> = known.into_iter().collect();
    let names: Vec<_> = known.iter().map(|known| compared(known)).collect();
    let near = nearest(&compared(given), names.iter().map(String::as_str));
    let near = near.and_then(|near| names.iter().position(|name| name == near));
    match near.and_then(|at| known.get(at)) {
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
            ("watcher.colour", None),
        ] {
            assert_eq!(nearest(given, known), near, "{given}");
        }
    }

    #[test]
    fn words_that_both_begin_with_do_not_make_them_alike() {
        let known = ["MIKROTIK_HOST", "MIKROTIK_USE_SSL", "MIKROTIK_PASSWORD"];
        assert_eq!(nearest("MIKROTIK_HSOT", known), Some("MIKROTIK_HOST"));
        assert_eq!(nearest("MIKROTIK_COLOUR", known), None);
        assert_eq!(
            nearest("MIKROTIK_PASSWORD", known),
            Some("MIKROTIK_PASSWORD")
        );
        assert_eq!(nearest("é_trai", ["é_trays"]), Some("é_trays"));
    }
}
