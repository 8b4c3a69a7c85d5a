//! The query words of a print: a program for a stack of booleans, run for each row.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use crate::sim::text::Value;

/// Which rows a print shows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    program: Vec<Op>,
    /// What the program comes to if it asks for nothing but one of several equalities. Batches of
    /// hundreds of names are common, and this makes them cheap.
    any_of: Option<BTreeMap<String, BTreeSet<Vec<u8>>>>,
}

#[derive(Debug)]
enum Op {
    Present(String),
    Absent(String),
    Compare(String, Ordering, Vec<u8>),
    Stack(Vec<u8>),
}

impl Filter {
    /// Reads query words, their question marks taken off.
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a [u8]>) -> Self {
        let program: Vec<_> = words.map(Op::parse).collect();
        let any_of = any_of(&program);
        Self { program, any_of }
    }

    /// The values of which every row that passes has at least one, by column; `None` if the query
    /// is not of that kind.
    pub(super) fn any_of(&self) -> Option<&BTreeMap<String, BTreeSet<Vec<u8>>>> {
        self.any_of.as_ref()
    }

    pub(super) fn passes<'v>(&self, get: impl Fn(&str) -> Option<Value<'v>>) -> bool {
        if let Some(wanted) = &self.any_of {
            return wanted.iter().any(|(name, values)| {
                get(name).is_some_and(|value| values.contains(value.as_ref()))
            });
        }
        let mut stack = Stack::default();
        for op in &self.program {
            match op {
                Op::Present(name) => stack.0.push(get(name).is_some()),
                Op::Absent(name) => stack.0.push(get(name).is_none()),
                Op::Compare(name, wanted, value) => {
                    let found = get(name).map(|found| compare(&found, value));
                    stack.0.push(found == Some(*wanted));
                }
                Op::Stack(operations) => stack.run(operations),
            }
        }
        stack.0.iter().all(|value| *value)
    }
}

impl Op {
    fn parse(word: &[u8]) -> Self {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (ordering, rest) = match word {
            [b'#', operations @ ..] => return Self::Stack(operations.to_vec()),
            [b'-', absent @ ..] => return Self::Absent(name(absent)),
            [b'<', rest @ ..] => (Ordering::Less, rest),
            [b'>', rest @ ..] => (Ordering::Greater, rest),
            [b'=', rest @ ..] => (Ordering::Equal, rest),
            _ => (Ordering::Equal, word),
        };
        match rest.iter().position(|byte| *byte == b'=') {
            Some(at) => Self::Compare(name(&rest[..at]), ordering, rest[at + 1..].to_vec()),
            None => Self::Present(name(rest)),
        }
    }
}

/// Numbers compare as numbers, all else byte by byte.
fn compare(found: &[u8], wanted: &[u8]) -> Ordering {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<i64>().ok();
    match (number(found), number(wanted)) {
        (Some(a), Some(b)) if found != wanted => match a.cmp(&b) {
            // `007` is less than `7` in no sense, but it is another text.
            Ordering::Equal => found.cmp(wanted),
            unequal @ (Ordering::Less | Ordering::Greater) => unequal,
        },
        _ => found.cmp(wanted),
    }
}

/// Below what was pushed there is an endless supply of `true`.
#[derive(Default)]
struct Stack(Vec<bool>);

impl Stack {
    fn at(&self, index: usize) -> bool {
        let place = self.0.len().checked_sub(index.saturating_add(1));
        place.is_none_or(|place| self.0[place])
    }

    fn pop(&mut self) -> bool {
        self.0.pop().unwrap_or(true)
    }

    fn run(&mut self, operations: &[u8]) {
        let mut index: Option<usize> = None;
        for operation in operations {
            if operation.is_ascii_digit() {
                let digit = usize::from(operation - b'0');
                let so_far = index.unwrap_or(0);
                index = Some(so_far.saturating_mul(10).saturating_add(digit));
                continue;
            }
            let pushed = index.take().map(|index| self.at(index));
            self.0.extend(pushed);
            match operation {
                b'!' => {
                    let top = self.pop();
                    self.0.push(!top);
                }
                b'&' | b'|' => {
                    let (a, b) = (self.pop(), self.pop());
                    self.0
                        .push(if *operation == b'&' { a && b } else { a || b });
                }
                b'.' if pushed.is_none() => self.0.push(self.at(0)),
                _ => {}
            }
        }
        if let Some(index) = index {
            self.0 = vec![self.at(index)];
        }
    }
}

fn any_of(program: &[Op]) -> Option<BTreeMap<String, BTreeSet<Vec<u8>>>> {
    let mut wanted: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut depth = 0_usize;
    for op in program {
        match op {
            Op::Compare(name, Ordering::Equal, value) => {
                wanted
                    .entry(name.clone())
                    .or_default()
                    .insert(value.clone());
                depth += 1;
            }
            Op::Stack(operations) => {
                if operations.iter().any(|operation| *operation != b'|') {
                    return None;
                }
                depth = depth
                    .checked_sub(operations.len())
                    .filter(|depth| *depth > 0)?;
            }
            Op::Present(_) | Op::Absent(_) | Op::Compare(..) => return None,
        }
    }
    (depth == 1).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::{collection::vec, prelude::*};
    use rstest::rstest;

    use super::*;

    const ROW: &[(&str, &str)] = &[("name", "joe"), ("size", "9"), ("comment", "")];

    fn passes(words: &[&str]) -> bool {
        let filter = Filter::parse(words.iter().map(|word| word.as_bytes()));
        filter.passes(|name| value_of(ROW, name))
    }

    #[rstest]
    #[case(&[], true)]
    #[case(&["name"], true)]
    #[case(&["email"], false)]
    #[case(&["-name"], false)]
    #[case(&["-email"], true)]
    #[case(&["comment="], true)]
    #[case(&["name=joe"], true)]
    #[case(&["=name=joe"], true)]
    #[case(&["name=Joe"], false)]
    #[case(&["name=jo"], false)]
    #[case(&["email=joe"], false)]
    #[case(&["<size=10"], true)]
    #[case(&[">size=10"], false)]
    #[case(&[">size=9"], false)]
    #[case(&["size=09"], false)]
    #[case(&["name=joe", "size=1"], false)]
    #[case(&["name=ann", "name=joe", "#|"], true)]
    #[case(&["name=ann", "name=bob", "#|"], false)]
    #[case(&["name=ann", "name=bob", "name=joe", "#||"], true)]
    #[case(&["name=ann", "#!"], true)]
    #[case(&["name=joe", "name=ann", "#&"], false)]
    // The stack is never empty: an operator without operands finds `true`.
    #[case(&["name=ann", "#|"], true)]
    #[case(&["#!"], false)]
    // Copies: `1.` puts the second from the top on top, `.` alone doubles the top.
    #[case(&["name=joe", "name=ann", "#1.|"], true)]
    #[case(&["name=joe", "name=ann", "#1.&"], false)]
    #[case(&["name=joe", "name=ann", "#|1|"], true)]
    #[case(&["name=ann", "#.!|"], true)]
    #[case(&["name=ann", "#.!"], false)]
    // An index at the end replaces the stack.
    #[case(&["name=joe", "name=ann", "#1"], true)]
    #[case(&["name=joe", "name=ann", "#0"], false)]
    #[case(&["name=ann", "#7"], true)]
    fn the_stack_decides(#[case] words: &[&str], #[case] expected: bool) {
        assert_eq!(passes(words), expected, "{words:?}");
    }

    fn value_of<'a>(row: &'a [(&str, &str)], name: &str) -> Option<Value<'a>> {
        let (_, value) = row.iter().find(|(found, _)| *found == name)?;
        Some(Cow::Borrowed(value.as_bytes()))
    }

    proptest! {
        /// `a b | c |` and `a b c ||` and any other order mean the same as looking for one of them.
        #[test]
        fn a_batch_of_equalities_is_any_of_them(
            names in vec("[a-e]", 1..8),
            wanted in "[a-e]",
            joined_at_once: bool,
        ) {
            let mut words: Vec<String> = Vec::new();
            for (at, name) in names.iter().enumerate() {
                words.push(format!("name={name}"));
                if !joined_at_once && at > 0 {
                    words.push("#|".into());
                }
            }
            if joined_at_once && names.len() > 1 {
                words.push(format!("#{}", "|".repeat(names.len() - 1)));
            }
            let filter = Filter::parse(words.iter().map(String::as_bytes));
            prop_assert!(filter.any_of.is_some());
            let row = [("name", wanted.as_str())];
            let shortcut = filter.passes(|name| value_of(&row, name));
            let program = Filter { any_of: None, ..filter };
            prop_assert_eq!(shortcut, program.passes(|name| value_of(&row, name)));
            prop_assert_eq!(shortcut, names.contains(&wanted));
        }

        #[test]
        fn any_query_word_is_survived(words in vec(vec(any::<u8>(), 0..12), 0..6)) {
            Filter::parse(words.iter().map(Vec::as_slice)).passes(|name| value_of(ROW, name));
        }
    }
}
