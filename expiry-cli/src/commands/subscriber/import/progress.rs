//! How far an import is, on the terminal of whoever waits for it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Draws on stderr, and nothing if that is no terminal.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Begins to read; `size` is that of the file in bytes, if it is known.
    pub(super) fn reading(size: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
        let template = match size {
            Some(_) => "reading {wide_bar} {bytes}/{total_bytes} {eta}",
            None => "reading {spinner} {bytes}",
        };
        bar.set_style(style(template));
        Self(bar)
    }

    pub(super) fn read(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// Goes on to the database, which does all in one step.
    pub(super) fn writing(&self, subscribers: usize) {
        self.0.set_style(style("{msg} {spinner} {elapsed}"));
        let count = crate::output::count(subscribers as u64, "subscriber");
        self.0
            .set_message(format!("putting {count} into the database"));
        self.0.enable_steady_tick(Duration::from_millis(100));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
