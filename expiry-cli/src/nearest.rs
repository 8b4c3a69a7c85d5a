//! What somebody may have meant.

/// Returns the known word that differs least from one that is not known.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .min_by_key(|known| strsim::osa_distance(&word, &known.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
