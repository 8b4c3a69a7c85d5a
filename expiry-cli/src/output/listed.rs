//! Lists: as JSON, as lines, and in columns with a head where a person reads them.

use std::{fmt::Display, io};

use serde::Serialize;

use super::Output;
use crate::terminal::width_of;

/// What a list is of.
pub(crate) trait Listed: Serialize + Display {
    /// What its columns are called.
    const HEAD: &'static [&'static str];
    /// What to say where there is nothing.
    const NONE: &'static str;

    /// Returns the text of each column. Only that of the last may have several lines.
    fn cells(&self) -> Vec<String>;
}

impl<'a> Output<'a> {
    /// Prints a list that is all there: one JSON array, or a line for each.
    pub(crate) fn list<T: Listed>(&mut self, items: &[T]) -> io::Result<()> {
        let mut list = self.long_list()?;
        list.page(items)?;
        list.end::<T>()
    }

    /// Begins a list that comes piece by piece.
    pub(crate) fn long_list(&mut self) -> io::Result<LongList<'_, 'a>> {
        if self.json {
            write!(self.to, "[")?;
        }
        Ok(LongList {
            out: self,
            empty: true,
            widths: Vec::new(),
        })
    }
}

/// A list under way.
pub(crate) struct LongList<'o, 'a> {
    out: &'o mut Output<'a>,
    empty: bool,
    /// Of the columns, as the first page needs them.
    widths: Vec<usize>,
}

impl LongList<'_, '_> {
    /// Prints the next items.
    pub(crate) fn page<T: Listed>(&mut self, items: &[T]) -> io::Result<()> {
        let is_first = self.empty && !items.is_empty();
        if is_first && self.out.is_columns() {
            let cells: Vec<_> = items.iter().map(T::cells).collect();
            let width = |(at, head): (usize, &&str)| {
                let cells = cells.iter().filter_map(|cells| cells.get(at));
                let widest = cells.map(|cell| width_of(cell)).max();
                widest.unwrap_or_default().max(width_of(head))
            };
            self.widths = T::HEAD.iter().enumerate().map(width).collect();
            let head: Vec<_> = T::HEAD.iter().map(ToString::to_string).collect();
            self.columns(&head)?;
        }
        for item in items {
            self.item(item)?;
        }
        Ok(())
    }

    pub(crate) fn end<T: Listed>(self) -> io::Result<()> {
        if self.out.json {
            writeln!(self.out.to, "]")?;
        } else if self.empty {
            self.out.text(&T::NONE)?;
        }
        self.out.to.flush()
    }

    fn item<T: Listed>(&mut self, item: &T) -> io::Result<()> {
        let is_first = std::mem::replace(&mut self.empty, false);
        if self.out.is_columns() {
            return self.columns(&item.cells());
        }
        if !self.out.json {
            return self.out.text(item);
        }
        if !is_first {
            write!(self.out.to, ",")?;
        }
        Ok(serde_json::to_writer(&mut *self.out.to, item)?)
    }

    fn columns(&mut self, cells: &[String]) -> io::Result<()> {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            line.push_str(cell);
            if at + 1 < cells.len() {
                let width = self.widths.get(at).copied().unwrap_or_default();
                let blank = width.saturating_sub(width_of(cell)) + 2;
                line.push_str(&" ".repeat(blank));
            }
        }
        self.out.text(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair(&'static str, &'static str);

    impl Display for Pair {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}  {}", self.0, self.1)
        }
    }

    impl Listed for Pair {
        const HEAD: &'static [&'static str] = &["NAME", "PLACE"];
        const NONE: &'static str = "no pairs yet";

        fn cells(&self) -> Vec<String> {
            vec![self.0.into(), self.1.into()]
        }
    }

    fn printed(pages: &[&[Pair]], json: bool, terminal: bool) -> String {
        let mut bytes = Vec::new();
        let mut out = Output::new(&mut bytes, json).on_terminal(terminal);
        let mut list = out.long_list().expect("begun");
        for page in pages {
            list.page(page).expect("printed");
        }
        list.end::<Pair>().expect("ended");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_list_has_a_head_on_a_terminal_and_none_for_programs() {
        let pages: [&[Pair]; 2] = [
            &[Pair("a", "x"), Pair("longest", "y\n  below")],
            &[Pair("c\u{9b}", "z")],
        ];
        let columns = "NAME     PLACE\na        x\nlongest  y\n  below\nc\\u{9b}        z\n";
        let shown = printed(&pages, false, true);
        assert_eq!(shown.lines().next(), columns.lines().next());
        assert_eq!(shown.lines().nth(1), columns.lines().nth(1));
        assert_eq!(shown.lines().nth(2), columns.lines().nth(2));
        assert!(!shown.contains('\u{9b}'), "{shown}");
        let lines = "a  x\nlongest  y\n  below\nc\\u{9b}  z\n";
        assert_eq!(printed(&pages, false, false), lines);
        let json = "[[\"a\",\"x\"],[\"longest\",\"y\\n  below\"],[\"c\u{9b}\",\"z\"]]\n";
        for terminal in [true, false] {
            assert_eq!(printed(&pages, true, terminal), json);
        }
    }

    #[test]
    fn an_empty_list_says_so_in_words() {
        for terminal in [true, false] {
            assert_eq!(printed(&[], false, terminal), "no pairs yet\n");
            assert_eq!(printed(&[&[]], true, terminal), "[]\n");
        }
    }
}
