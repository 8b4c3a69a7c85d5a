use std::time::Duration;

use super::{
    Answer,
    menu::{Menu, id_text},
    query::Filter,
};
use crate::{
    sim::hotspot::{Hotspot, Moment, Record},
    wire::Sentence,
};

pub(super) fn print(
    hotspot: &Hotspot,
    booted_at: Duration,
    menu: Menu,
    command: &Sentence,
) -> Answer {
    let moment = Moment {
        now: hotspot.now,
        omit_false_flags: hotspot.config.omit_false_flags,
    };
    let filter = Filter::parse(command.queries());
    let columns = command.get_text(".proplist").map(|list| {
        let names = list.split(',').map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect::<Vec<_>>()
    });
    let count_only = command.get("count-only").is_some();
    let mut count = 0_usize;
    let mut rows = Vec::new();
    let candidates = menu.candidates(hotspot, &filter);
    menu.visit(
        hotspot,
        booted_at,
        candidates.as_ref(),
        &mut |id, record| {
            let get = |column: &str| match column {
                ".id" => id.map(id_text),
                _ => record.get(column, moment),
            };
            if !filter.passes(get) {
                return;
            }
            count += 1;
            if !count_only {
                rows.push(row(id, record, moment, columns.as_deref()));
            }
        },
    );
    Answer {
        rows,
        ret: count_only.then(|| count.to_string().into_bytes()),
        is_list: !count_only,
    }
}

fn row(
    id: Option<u32>,
    record: &dyn Record,
    moment: Moment,
    columns: Option<&[String]>,
) -> Sentence {
    let add = |row: Sentence, column: &str| {
        let value = match column {
            ".id" => id.map(id_text),
            _ => record.get(column, moment),
        };
        match value {
            Some(value) => row.attribute(column, value),
            None => row,
        }
    };
    let row = Sentence::new("!re");
    if let Some(columns) = columns {
        return columns.iter().fold(row, |row, column| add(row, column));
    }
    let row = add(row, ".id");
    let columns = record.columns();
    columns.iter().fold(row, |row, column| add(row, column))
}
