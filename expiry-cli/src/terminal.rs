//! A screen that is drawn anew again and again, and left as it was found.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use unicode_width::UnicodeWidthChar;

/// Other screen, no cursor, nothing runs on into the next line.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

static ENTERED: AtomicBool = AtomicBool::new(false);

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    Dim,
    Bold,
    Good,
    Warning,
    Bad,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Bold => "\x1b[1m",
            Self::Good => "\x1b[1;32m",
            Self::Warning => "\x1b[1;33m",
            Self::Bad => "\x1b[1;31m",
        }
    }
}

/// One row of the screen: pieces of text, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row(Vec<(Style, String)>);

impl Row {
    pub(crate) fn new(style: Style, text: &str) -> Self {
        Self::default().and(style, text)
    }

    /// Adds a piece. What would move the cursor is shown as a dot.
    #[must_use]
    pub(crate) fn and(mut self, style: Style, text: &str) -> Self {
        let shown = text.chars().map(|c| if c.is_control() { '·' } else { c });
        self.0.push((style, shown.collect()));
        self
    }

    /// Adds a piece in a column of its own.
    #[must_use]
    pub(crate) fn column(self, style: Style, text: &str, width: usize) -> Self {
        let text = fitted(text, width);
        let blank = " ".repeat(width - width_of(&text) + 1);
        self.and(style, &text).and(Style::Plain, &blank)
    }

    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width_of(text)).sum()
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Writes what fits, with or without colours.
    fn drawn(&self, width: usize, colours: bool) -> String {
        let mut drawn = String::new();
        let mut left = width;
        for (style, text) in &self.0 {
            let text = fitted(text, left);
            left -= width_of(&text);
            if colours && *style != Style::Plain {
                drawn.push_str(style.code());
                drawn.push_str(&text);
                drawn.push_str("\x1b[0m");
            } else {
                drawn.push_str(&text);
            }
        }
        drawn
    }
}

/// Cuts a text to a width; a dot for each letter that would be left out is not worth it, one is.
fn fitted(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        fitted.push(c);
    }
    if width > 0 {
        fitted.push('…');
    }
    fitted
}

pub(crate) fn width_of(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Tells whether stdout is a terminal that understands where to draw.
pub(crate) fn can_draw() -> bool {
    let term = std::env::var_os("TERM").unwrap_or_default();
    io::stdout().is_terminal() && !term.is_empty() && term != "dumb"
}

/// The terminal, taken over until this is dropped.
pub(crate) struct Terminal {
    /// How typed keys were treated.
    keys: Option<Termios>,
    canvas: Canvas,
}

impl Terminal {
    pub(crate) fn enter() -> io::Result<Self> {
        leave_before_a_panic_is_told();
        let keys = silence_keys();
        ENTERED.store(true, Ordering::SeqCst);
        let terminal = Self {
            keys,
            canvas: Canvas::new(std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())),
        };
        let mut stdout = io::stdout();
        stdout.write_all(ENTER.as_bytes())?;
        stdout.flush()?;
        Ok(terminal)
    }

    pub(crate) fn size() -> Size {
        let told = termios::tcgetwinsize(io::stdout()).ok();
        let told = told.filter(|size| size.ws_col > 0 && size.ws_row > 0);
        told.map_or(
            Size {
                width: 80,
                height: 24,
            },
            |size| Size {
                width: size.ws_col.into(),
                height: size.ws_row.into(),
            },
        )
    }

    /// Brings the screen up to these rows, in one piece and without touching what is there already.
    pub(crate) fn draw(&mut self, rows: &[Row], size: Size) -> io::Result<()> {
        let update = self.canvas.update(rows, size);
        let mut stdout = io::stdout();
        stdout.write_all(update.as_bytes())?;
        stdout.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
        if let Some(keys) = &self.keys {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, keys);
        }
    }
}

fn leave() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        let mut stdout = io::stdout();
        // Nobody is left to tell that the terminal is gone.
        let _ = stdout.write_all(LEAVE.as_bytes());
        let _ = stdout.flush();
    }
}

/// The message of a panic belongs on the screen that stays.
fn leave_before_a_panic_is_told() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            tell(panic);
        }));
    });
}

/// Keys that are typed do not show, and Ctrl-Z does not leave a half drawn screen behind.
fn silence_keys() -> Option<Termios> {
    let before = termios::tcgetattr(io::stdin()).ok()?;
    let mut silent = before.clone();
    silent
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ICANON);
    silent.special_codes[SpecialCodeIndex::VSUSP] = 0;
    termios::tcsetattr(io::stdin(), OptionalActions::Now, &silent).ok()?;
    Some(before)
}

/// What is on the screen.
struct Canvas {
    colours: bool,
    shown: Vec<String>,
    size: Option<Size>,
}

impl Canvas {
    fn new(colours: bool) -> Self {
        Self {
            colours,
            shown: Vec::new(),
            size: None,
        }
    }

    /// Returns what to write so that the screen shows these rows.
    fn update(&mut self, rows: &[Row], size: Size) -> String {
        let mut update = String::new();
        if self.size != Some(size) {
            update.push_str("\x1b[2J");
            self.shown = vec![String::new(); size.height];
            self.size = Some(size);
        }
        let blank = Row::default();
        for at in 0..size.height {
            let row = rows.get(at).unwrap_or(&blank);
            let drawn = row.drawn(size.width, self.colours);
            if self.shown[at] != drawn {
                // In the last column the cursor stands on what was written last.
                let rest = if row.width() < size.width {
                    "\x1b[K"
                } else {
                    ""
                };
                let _ = write!(update, "\x1b[{};1H{drawn}{rest}", at + 1);
                self.shown[at] = drawn;
            }
        }
        if update.is_empty() {
            return update;
        }
        // Terminals that know this mode show all of it at once.
        format!("\x1b[?2026h{update}\x1b[?2026l")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        width: 10,
        height: 3,
    };

    fn rows(texts: &[&str]) -> Vec<Row> {
        texts
            .iter()
            .map(|text| Row::new(Style::Plain, text))
            .collect()
    }

    #[test]
    fn only_what_changed_is_drawn_again() {
        let mut canvas = Canvas::new(false);
        let first = canvas.update(&rows(&["a", "b"]), SIZE);
        assert!(first.contains("\x1b[2J") && first.contains("\x1b[1;1Ha"));
        assert_eq!(canvas.update(&rows(&["a", "b"]), SIZE), "");
        let third = canvas.update(&rows(&["a", "c"]), SIZE);
        assert_eq!(third, "\x1b[?2026h\x1b[2;1Hc\x1b[K\x1b[?2026l");
        let fourth = canvas.update(&rows(&["a"]), SIZE);
        assert_eq!(fourth, "\x1b[?2026h\x1b[2;1H\x1b[K\x1b[?2026l");
    }

    #[test]
    fn the_last_column_is_not_wiped_out() {
        let mut canvas = Canvas::new(false);
        canvas.update(&[], SIZE);
        let full = canvas.update(&rows(&["0123456789"]), SIZE);
        assert_eq!(full, "\x1b[?2026h\x1b[1;1H0123456789\x1b[?2026l");
    }

    #[test]
    fn another_size_draws_everything_anew() {
        let mut canvas = Canvas::new(false);
        canvas.update(&rows(&["a", "b"]), SIZE);
        let small = Size {
            width: 1,
            height: 1,
        };
        let drawn = canvas.update(&rows(&["a", "b"]), small);
        assert!(drawn.contains("\x1b[2J") && drawn.contains("\x1b[1;1Ha"));
        assert!(!drawn.contains('b'));
    }

    #[test]
    fn a_row_is_never_wider_than_the_screen() {
        let row = Row::new(Style::Bold, "255700").and(Style::Bad, "000001");
        assert_eq!(row.drawn(10, false), "255700000…");
        assert_eq!(
            row.drawn(10, true),
            "\x1b[1m255700\x1b[0m\x1b[1;31m000…\x1b[0m"
        );
        assert_eq!(row.drawn(12, false), "255700000001");
        assert_eq!(row.drawn(0, false), "");
        let wide = Row::new(Style::Plain, "客人客人");
        assert_eq!(wide.drawn(8, false), "客人客人");
        assert_eq!(wide.drawn(7, false), "客人客…");
        assert_eq!(wide.drawn(6, false), "客人…");
    }

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        for text in ["a", "客", "much too long"] {
            let row = Row::default().column(Style::Plain, text, 4);
            assert_eq!(row.width(), 5, "{text}");
        }
    }

    #[test]
    fn what_a_router_says_cannot_move_the_cursor() {
        let row = Row::new(Style::Plain, "no\x1b[2J answer\r\n");
        assert_eq!(row.text(), "no·[2J answer··");
    }
}
