//! Who may have been meant by a name that nobody has.

use std::borrow::Cow;

use crate::{Directory, StoreError, Subscriber, SubscriberId, TenantId};

/// Most subscribers that are named.
const NAMED: usize = 3;
const PAGE: u32 = 2_000;
/// Most pages that are searched.
const PAGES: usize = 250;
/// Fewer digits than these are no phone number without its country.
const NUMBER: usize = 7;
/// The most digits of a country.
const COUNTRY: usize = 4;

/// Returns those of a tenant, or of those without one, whose names are like the one that was asked
/// for, the nearest first: with a slip or two in it, or the same phone number in another spelling
/// (with or without its country, a `0`, a `+`, blanks, hyphens). At most 3, of the first 500 000.
///
/// # Errors
/// Those of [`Directory::subscribers`].
pub async fn nearest(
    directory: &dyn Directory,
    tenant: Option<TenantId>,
    wanted: &str,
) -> Result<Vec<Subscriber>, StoreError> {
    let wanted = Name::new(wanted);
    let mut best: Vec<(usize, Subscriber)> = Vec::new();
    let mut after = SubscriberId(0);
    for _ in 0..PAGES {
        let page = directory.subscribers(tenant, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let scored = page.into_iter().filter_map(|subscriber| {
            let distance = wanted.distance(&Name::new(subscriber.username.as_str()))?;
            Some((distance, subscriber))
        });
        best.extend(scored);
        best.sort_by(|(a, one), (b, other)| a.cmp(b).then(one.username.cmp(&other.username)));
        best.truncate(NAMED);
    }
    Ok(best.into_iter().map(|(_, subscriber)| subscriber).collect())
}

/// A name as it is compared.
struct Name<'a> {
    text: &'a str,
    /// The digits of a phone number, without zeros in front.
    number: Option<Cow<'a, str>>,
}

impl<'a> Name<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            number: number(text),
        }
    }

    /// Tells how far a name is from this one; `None` if it cannot have been meant.
    fn distance(&self, name: &Self) -> Option<usize> {
        let by_number = match (&self.number, &name.number) {
            (Some(wanted), Some(found)) => between_numbers(wanted, found),
            _ => usize::MAX,
        };
        let as_text = if differs_by_case(self.text, name.text) {
            1
        } else {
            strsim::osa_distance(self.text, name.text)
        };
        let most = (self.text.chars().count() / 3).clamp(1, 3);
        Some(by_number.min(as_text)).filter(|distance| *distance <= most)
    }
}

fn differs_by_case(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Reads a phone number in any spelling. The zeros in front stand for a country, or the way to one.
fn number(text: &str) -> Option<Cow<'_, str>> {
    let is_between = |c: char| c.is_whitespace() || "-./()".contains(c);
    let plain = text.strip_prefix('+').unwrap_or(text);
    let plain: Cow<'_, str> = if plain.contains(is_between) {
        plain.replace(is_between, "").into()
    } else {
        plain.into()
    };
    let is_number = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| match plain {
        Cow::Borrowed(digits) => digits.trim_start_matches('0').into(),
        Cow::Owned(digits) => digits.trim_start_matches('0').to_owned().into(),
    })
}

/// Counts the slips between two numbers, of which one may lack its country: that counts as one.
fn between_numbers(a: &str, b: &str) -> usize {
    let whole = strsim::osa_distance(a, b);
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let country = long.len() - short.len();
    if short.len() < NUMBER || !(1..=COUNTRY).contains(&country) {
        return whole;
    }
    whole.min(1 + strsim::osa_distance(short, &long[country..]))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn distance(wanted: &str, name: &str) -> Option<usize> {
        Name::new(wanted).distance(&Name::new(name))
    }

    #[rstest]
    #[case::digits_turned_around("255772236727", "255772236272", Some(2))]
    #[case::without_its_country("0772236727", "255772236727", Some(1))]
    #[case::with_its_country("255772236727", "0772236727", Some(1))]
    #[case::with_blanks("+255 772 236 727", "255772236727", Some(0))]
    #[case::with_hyphens("0772-236-727", "255772236727", Some(1))]
    #[case::with_the_way_abroad("00255772236727", "255772236727", Some(0))]
    #[case::stored_with_blanks("255772236727", "0772 236 727", Some(1))]
    #[case::a_slip_and_no_country("0772236728", "255772236727", Some(2))]
    #[case::another_country("254772236727", "255772236727", Some(1))]
    #[case::another_number_with_the_same_end("0712236727", "255899236727", None)]
    #[case::somebody_else("255772236727", "255700000001", None)]
    #[case::turned_around("joe", "jeo", Some(1))]
    #[case::other_capitals("JOE@Cafe", "joe@cafe", Some(1))]
    #[case::another_name("joe", "ann", None)]
    #[case::a_room("12", "2551112", None)]
    #[case::nothing_but_zeros("000", "255772236727", None)]
    fn slips_and_other_spellings_are_near(
        #[case] wanted: &str,
        #[case] name: &str,
        #[case] expected: Option<usize>,
    ) {
        assert_eq!(distance(wanted, name), expected);
    }
}
