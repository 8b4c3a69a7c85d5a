//! Who may have been meant.

use expiry_core::{Directory, StoreError, SubscriberId, TenantId, Username};

use crate::words::listed;

/// Most names that are named.
const NAMED: usize = 3;
const PAGE: u32 = 2_000;
/// Most pages that are searched.
const PAGES: usize = 250;
/// Names that agree in so many last characters are the same number with and without its country.
const SAME_TAIL: usize = 7;

/// Says who of the tenant is named alike, and in which other tenants the name is known.
pub(super) async fn hint(
    directory: &dyn Directory,
    tenant: Option<TenantId>,
    wanted: &Username,
) -> Result<String, StoreError> {
    let mut hints = Vec::new();
    let elsewhere = elsewhere(directory, tenant, wanted).await?;
    if !elsewhere.is_empty() {
        hints.push(format!("known {}", listed(&elsewhere)));
    }
    let alike = alike(directory, tenant, wanted).await?;
    if !alike.is_empty() {
        let alike: Vec<_> = alike.iter().map(|name| format!("`{name}`")).collect();
        hints.push(format!("the nearest: {}", listed(&alike)));
    }
    if hints.is_empty() {
        hints.push("and nobody of a name like it".into());
    }
    Ok(hints.join("; "))
}

async fn elsewhere(
    directory: &dyn Directory,
    tenant: Option<TenantId>,
    wanted: &Username,
) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    if tenant.is_some() && directory.subscriber(None, wanted).await?.is_some() {
        found.push("without a tenant (leave out --tenant)".to_owned());
    }
    for other in directory.tenants().await? {
        let is_other = Some(other.id) != tenant;
        if is_other
            && directory
                .subscriber(Some(other.id), wanted)
                .await?
                .is_some()
        {
            found.push(format!("in tenant `{0}` (give --tenant {0})", other.slug));
        }
    }
    Ok(found)
}

async fn alike(
    directory: &dyn Directory,
    tenant: Option<TenantId>,
    wanted: &Username,
) -> Result<Vec<Username>, StoreError> {
    let mut best: Vec<(usize, Username)> = Vec::new();
    let mut after = SubscriberId(0);
    for _ in 0..PAGES {
        let page = directory.subscribers(tenant, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let scored = page.into_iter().filter_map(|subscriber| {
            let distance = distance(wanted.as_str(), subscriber.username.as_str())?;
            Some((distance, subscriber.username))
        });
        best.extend(scored);
        best.sort();
        best.truncate(NAMED);
    }
    Ok(best.into_iter().map(|(_, name)| name).collect())
}

/// How far a name is from the one that was asked for; `None` if it cannot have been meant.
fn distance(wanted: &str, name: &str) -> Option<usize> {
    let tail = wanted.chars().rev().zip(name.chars().rev());
    let same = tail.take_while(|(a, b)| a == b).count();
    if same >= SAME_TAIL {
        return Some(1);
    }
    let most = (wanted.chars().count() / 3).clamp(1, 3);
    Some(strsim::osa_distance(wanted, name)).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_and_a_missing_country_are_near() {
        assert_eq!(distance("255772236727", "255772236272"), Some(2));
        assert_eq!(distance("0772236727", "255772236727"), Some(1));
        assert_eq!(distance("joe", "jeo"), Some(1));
        assert_eq!(distance("joe", "ann"), None);
        assert_eq!(distance("255772236727", "255700000001"), None);
    }
}
