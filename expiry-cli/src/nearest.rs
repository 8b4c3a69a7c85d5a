//! What somebody may have meant.

/// Returns the known word that differs least from one that is not known.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .min_by_key(|known| strsim::osa_distance(&word, &known.to_lowercase()))
}

/// As [`nearest`], unless more than half of it would have to change.
pub(crate) fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    nearest(word, known).filter(|known| {
        let longest = lower.chars().count().max(known.chars().count());
        2 * strsim::osa_distance(&lower, &known.to_lowercase()) <= longest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_more_than_half_is_not_near() {
        let known = ["username", "expires_at"];
        assert_eq!(near("Name", known), Some("username"));
        assert_eq!(near("expiry", known), Some("expires_at"));
        assert_eq!(near("255700000001", known), None);
        assert_eq!(near("x", []), None);
    }

    #[test]
    fn the_nearest_has_the_fewest_changes() {
        let known = ["username", "expires_at", "devices"];
        for (word, expected) in [
            ("user name", "username"),
            ("Expires At", "expires_at"),
            ("device", "devices"),
        ] {
            assert_eq!(nearest(word, known), Some(expected));
        }
        assert_eq!(nearest("x", []), None);
    }
}
