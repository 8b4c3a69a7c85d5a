//! What the audience sees: a line for each event, and on a terminal one that is always current.

use std::{
    io::{self, Write},
    time::Duration,
};

/// The figures of the current line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) elapsed: Duration,
    pub(super) online: usize,
    pub(super) subscribers: usize,
    pub(super) cut: usize,
    pub(super) worst_lag: Duration,
    pub(super) router_down: bool,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Terminal,
    Lines,
    Silent,
}

pub(super) struct View<'a> {
    to: &'a mut (dyn Write + Send),
    mode: Mode,
    current: String,
}

/// Back to the first column, and the line away.
const CLEAR: &str = "\r\x1b[2K";

impl<'a> View<'a> {
    pub(super) fn new(to: &'a mut (dyn Write + Send), mode: Mode) -> Self {
        Self {
            to,
            mode,
            current: String::new(),
        }
    }

    /// Shows that something happened.
    pub(super) fn event(&mut self, at: Duration, text: &str) -> io::Result<()> {
        let line = format!("{:>6.2} s  {text}", at.as_secs_f64());
        match self.mode {
            Mode::Silent => Ok(()),
            Mode::Lines => writeln!(self.to, "{line}"),
            Mode::Terminal => {
                writeln!(self.to, "{CLEAR}{line}")?;
                write!(self.to, "{}", self.current)?;
                self.to.flush()
            }
        }
    }

    /// Brings the current line up to date.
    pub(super) fn refresh(&mut self, now: &Figures) -> io::Result<()> {
        if self.mode != Mode::Terminal {
            return Ok(());
        }
        let elapsed = now.elapsed.as_secs_f64();
        let lag = now.worst_lag.as_millis();
        let router = if now.router_down {
            "  a router is DOWN"
        } else {
            ""
        };
        self.current = format!(
            "{elapsed:>6.1} s  online {}/{}  cut {}  worst lag {lag} ms{router}",
            now.online, now.subscribers, now.cut
        );
        write!(self.to, "{CLEAR}{}", self.current)?;
        self.to.flush()
    }

    /// Leaves the screen to what comes next.
    pub(super) fn close(self) -> io::Result<()> {
        if self.mode == Mode::Terminal {
            write!(self.to, "{CLEAR}")?;
            self.to.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mode: Mode) -> String {
        let mut bytes = Vec::new();
        let mut view = View::new(&mut bytes, mode);
        view.refresh(&Figures::default()).expect("written");
        view.event(Duration::from_millis(2_500), "cut")
            .expect("written");
        view.close().expect("written");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn only_a_terminal_gets_control_characters() {
        assert_eq!(shown(Mode::Lines), "  2.50 s  cut\n");
        assert_eq!(shown(Mode::Silent), "");
        assert!(shown(Mode::Terminal).contains(CLEAR));
    }
}
