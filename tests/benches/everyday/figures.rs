//! What is printed, and how.

use std::{fs, time::Duration};

/// Times in order.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time that a share of all does not exceed; zero if there are none.
    pub(crate) fn at(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among some thousands"
        )]
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        let at = rank.clamp(1, self.0.len().max(1)) - 1;
        self.0.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

pub(crate) fn title(text: &str) {
    println!("\n{text}");
}

pub(crate) fn line(what: &str, value: &str) {
    println!("  {what:<58} {value}");
}

/// Prints a figure beside its target.
pub(crate) fn target(what: &str, value: &str, target: &str, met: bool) {
    let verdict = if met { "" } else { "  MISSED" };
    println!("  {what:<58} {value}  (target {target}){verdict}");
}

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

pub(crate) fn spread(times: &Times) -> String {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| ms(times.at(share)));
    format!("p50 {p50}, p99 {p99}, max {max}")
}

/// Names the processor and how many of it there are.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut models = info.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let model = models.next().unwrap_or_else(|| "processor unknown".into());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("machine: {cores} × {model}")
}
