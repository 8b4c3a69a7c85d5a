//! What stands where on the screen.

use std::time::Duration;

use chrono::{DateTime, Utc};
use expiry_core::{Health, Histogram, OwedItem, RouterStatus, Upcoming, Want, WayIn};

use super::{AHEAD, Report, alive};
use crate::{
    output::count,
    terminal::{Row, Size, Style},
    words::{advice, utc},
};

/// Rows above the sections, at least.
const HEADER: usize = 4;

/// Rows of the first section, at least.
const SECTION: usize = 3;

/// Puts the rows of a screen of this size together. `trouble`: why the report is not of now.
pub(super) fn rows(report: &Report, trouble: Option<&str>, size: Size) -> Vec<Row> {
    let mut rows = header(report, trouble, size);
    let status = &report.status;
    let owed = status.owed_cuts + status.owed_restores;
    let sections = [
        Section {
            title: format!("OWED {owed}"),
            total: usize::try_from(owed).ok(),
            rows: status
                .owed
                .iter()
                .map(|item| owed_row(item, status.now))
                .collect(),
        },
        Section {
            title: format!("ROUTERS {}", status.routers.len()),
            total: Some(status.routers.len()),
            rows: status
                .routers
                .iter()
                .map(|router| router_row(report, router))
                .collect(),
        },
        Section {
            title: "NEXT ENDS".into(),
            total: Some(report.upcoming.len()).filter(|ends| *ends < AHEAD as usize),
            rows: report
                .upcoming
                .iter()
                .map(|next| next_row(next, status.now))
                .collect(),
        },
    ];
    let left = size.height.saturating_sub(rows.len());
    rows.extend(fitted(sections, left));
    rows.truncate(size.height);
    rows
}

fn header(report: &Report, trouble: Option<&str>, size: Size) -> Vec<Row> {
    let status = &report.status;
    let health = report.health.health;
    let label = health.to_string().to_uppercase();
    let style = match health {
        Health::Healthy => Style::Good,
        Health::NeedsAttention => Style::Warning,
        Health::Critical => Style::Bad,
    };
    let clock = Row::new(Style::Bold, "expiryctl ").and(Style::Plain, &utc(status.now));
    let gap = size
        .width
        .saturating_sub(clock.width() + label.len())
        .max(1);
    let reason = match trouble {
        Some(trouble) => Row::new(Style::Bad, trouble),
        None => Row::new(style, &report.health.reasons.join("; ")),
    };
    let counts = format!(
        "{}, {} live, owed {} and {}",
        alive(status),
        count(status.live_subscribers, "subscriber"),
        count(status.owed_cuts, "cut"),
        count(status.owed_restores, "restore"),
    );
    let all = &report.lag.all;
    let outage = match all.outage_cuts.count() {
        0 => String::new(),
        _ => format!("; after outages {}", lag(&all.outage_cuts)),
    };
    let mut header = vec![
        clock.and(Style::Plain, &" ".repeat(gap)).and(style, &label),
        reason,
        Row::new(Style::Plain, &counts),
        Row::new(Style::Plain, &format!("lag {}{outage}", lag(&all.cuts))),
    ];
    // What is owed comes first.
    let has_room = size.height > HEADER + SECTION;
    if all.known_late_cuts.count() > 0 && has_room {
        let took = lag(&all.known_late_cuts);
        let known = format!("ended before they were known, cut after that, no lag: {took}");
        header.push(Row::new(Style::Plain, &known));
    }
    header
}

fn lag(of: &Histogram) -> String {
    match (of.percentile(50), of.percentile(99), of.max()) {
        (Some(half), Some(most), Some(max)) => {
            let n = of.count();
            format!(
                "p50 ≤{} p99 ≤{} max {} ({n})",
                short(half),
                short(most),
                short(max)
            )
        }
        _ => "none yet".into(),
    }
}

fn owed_row(item: &OwedItem, now: DateTime<Utc>) -> Row {
    let (word, style) = match (item.want, item.online) {
        (Want::Restore, _) => ("restore", Style::Warning),
        (Want::Cut, true) => ("online", Style::Bad),
        (Want::Cut, false) => ("unconfirmed", Style::Warning),
    };
    let whose = match item.device {
        Some(mac) => format!("{mac} of {}", item.username),
        None => item.username.to_string(),
    };
    let since = short((now - item.since).to_std().unwrap_or_default());
    let why = if item.cannot_hold {
        let way_in = advice(item.way_in.unwrap_or(WayIn::Unknown));
        format!("CANNOT HOLD, {way_in}")
    } else if item.task.is_none() {
        "no watcher has taken it up yet".into()
    } else {
        item.last_error.clone().unwrap_or_default()
    };
    Row::new(Style::Plain, "  ")
        .column(Style::Plain, &whose, 20)
        .column(Style::Plain, &item.router, 12)
        .column(style, word, 11)
        .column(Style::Plain, &since, 7)
        .and(Style::Dim, &why)
}

fn router_row(report: &Report, router: &RouterStatus) -> Row {
    let now = report.status.now;
    let since = |at: DateTime<Utc>| short((now - at).to_std().unwrap_or_default());
    let (state, style) = match (router.enabled, router.down_since, router.attempted_at) {
        (false, _, _) => ("disabled".into(), Style::Dim),
        (true, Some(at), _) => (format!("DOWN {}", since(at)), Style::Bad),
        (true, None, Some(_)) => ("up".into(), Style::Good),
        (true, None, None) => ("not tried".into(), Style::Warning),
    };
    let owed = match router.owed_cuts + router.owed_restores {
        0 => String::new(),
        n => format!("owed {n}"),
    };
    let nobody = router.enabled && router.owner.is_none();
    let mut about: Vec<_> = nobody
        .then(|| "served by nobody".to_owned())
        .into_iter()
        .collect();
    match (&router.last_error, router.down_since) {
        (Some(error), _) if router.enabled => about.push(error.clone()),
        _ => {
            about.extend(report.lags_on(router).map(|lags| lag(&lags.cuts)));
            let strays = Some(router.strays).filter(|strays| *strays > 0);
            about.extend(strays.map(|strays| count(strays, "stray")));
        }
    }
    Row::new(Style::Plain, "  ")
        .column(Style::Plain, &router.name, 20)
        .column(style, &state, 12)
        .column(Style::Plain, &owed, 11)
        .and(Style::Dim, &about.join(", "))
}

fn next_row(next: &Upcoming, now: DateTime<Utc>) -> Row {
    let ahead = (next.ends_at - now).to_std().unwrap_or_default();
    // A countdown that shows 0 while there is time left would be early.
    let ahead = Duration::from_secs(ahead.as_secs() + u64::from(ahead.subsec_nanos() > 0));
    Row::new(Style::Plain, "  ")
        .column(Style::Plain, next.username.as_str(), 20)
        .column(Style::Bold, &short(ahead), 12)
        .column(Style::Dim, &utc(next.ends_at), 23)
        .and(Style::Dim, next.tenant.as_deref().unwrap_or_default())
}

/// A span in few letters: `41ms`, `12s`, `3m05s`, `2h05m`, `4d02h`.
fn short(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 if length.is_zero() => "0s".into(),
        0 => format!("{}ms", length.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A list below a title.
struct Section {
    title: String,
    /// How many there are, listed or not; `None`: more than were read.
    total: Option<usize>,
    rows: Vec<Row>,
}

/// Fits the sections into so many rows. Each gets its title, and a fair share of the rest; those
/// that do not fit at all are left out, the last first.
fn fitted(sections: [Section; 3], height: usize) -> Vec<Row> {
    // A title with the blank row above, and one row.
    let shown = sections.len().min(height / SECTION);
    let sections: Vec<_> = sections.into_iter().take(shown).collect();
    let wants: Vec<_> = sections.iter().map(|section| section.rows.len()).collect();
    let shares = shares(height - 2 * shown, &wants);
    let mut rows = Vec::new();
    for (section, share) in sections.into_iter().zip(shares) {
        rows.push(Row::default());
        rows.push(Row::new(Style::Bold, &section.title));
        let is_more_than = |listed| section.total.is_none_or(|total| total > listed);
        let listed = if is_more_than(share) {
            share.saturating_sub(1)
        } else {
            share
        };
        let is_cut_short = is_more_than(listed) && share > 0;
        rows.extend(section.rows.into_iter().take(listed));
        if is_cut_short {
            let more = match section.total {
                Some(total) => format!("  … and {} more", total - listed),
                None => "  … and more".into(),
            };
            rows.push(Row::new(Style::Dim, &more));
        }
    }
    rows
}

/// Shares rows out one by one among those who still want some.
fn shares(mut rows: usize, wants: &[usize]) -> Vec<usize> {
    let mut shares = vec![0; wants.len()];
    while rows > 0 {
        let before = rows;
        for (share, want) in shares.iter_mut().zip(wants) {
            if rows > 0 && *share < *want {
                *share += 1;
                rows -= 1;
            }
        }
        if rows == before {
            break;
        }
    }
    shares
}

#[cfg(test)]
mod tests;
