//! Takes a list of subscribers: all of it, or nothing.

mod csv;
mod faults;
mod jsonl;
mod lines;
mod places;
mod progress;
mod record;
mod report;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use expiry_core::{Conflict, Directory, Missing, PutOptions, RowError, RowRefusal, StoreError};
pub(crate) use faults::{Fault, Faults};

use self::{
    csv::Header,
    lines::Lines,
    places::Places,
    progress::Progress,
    record::{Origin, Rows},
    report::Imported,
};
use super::sheet::Column;
use crate::{
    args::{ImportArgs, SheetFormat},
    error::CliError,
    output::Output,
};

/// Where a list comes from.
struct Source {
    /// For messages.
    name: String,
    reader: Box<dyn BufRead>,
    size: Option<u64>,
    format: Option<SheetFormat>,
}

pub(crate) async fn run(
    args: &ImportArgs,
    directory: &dyn Directory,
    stdin: impl Read + 'static,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let source = Source::open(args, stdin)?;
    let places = Places::read(directory).await?;
    let progress = Progress::reading(source.size);
    let mut faults = Faults::new(&source.name);
    let mut rows = Rows::new(&places);
    let name = source.name.clone();
    read(source, &mut rows, &mut faults, &progress).map_err(|source| CliError::ReadList {
        name: name.clone(),
        source,
    })?;
    progress.writing(rows.puts.len());
    // What the database says is told even if the file alone is wrong.
    let options = PutOptions {
        dry_run: args.dry_run || !faults.is_empty(),
        shorten: args.shorten,
    };
    let put = directory.put_subscribers(&rows.puts, options).await;
    drop(progress);
    match put {
        Ok(report) if faults.is_empty() => {
            out.answer(&Imported::new(report, &places, args.dry_run));
            Ok(())
        }
        Ok(_) => Err(refused(faults, out)),
        Err(StoreError::Rows(wrong)) => {
            faults.merge(explain(&name, &wrong, &rows));
            Err(refused(faults, out))
        }
        Err(error) => Err(error.into()),
    }
}

fn refused(faults: Faults, out: &mut Output<'_>) -> CliError {
    // What cannot be printed there is told on stderr.
    let is_told = out.is_json() && out.json_line(&faults).is_ok();
    CliError::List { faults, is_told }
}

impl Source {
    fn open(args: &ImportArgs, stdin: impl Read + 'static) -> Result<Self, CliError> {
        if args.file == Path::new("-") {
            return Ok(Self {
                name: "stdin".into(),
                reader: Box::new(BufReader::new(stdin)),
                size: None,
                format: args.format,
            });
        }
        let file = File::open(&args.file).and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok((file, metadata))
        });
        let (file, metadata) = file.map_err(|source| CliError::OpenList {
            path: args.file.clone(),
            source,
        })?;
        Ok(Self {
            name: args.file.display().to_string(),
            reader: Box::new(BufReader::new(file)),
            size: metadata.is_file().then_some(metadata.len()),
            format: args.format.or_else(|| by_name(&args.file)),
        })
    }
}

fn by_name(file: &Path) -> Option<SheetFormat> {
    let extension = file.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Some(SheetFormat::Csv),
        "jsonl" | "ndjson" => Some(SheetFormat::Jsonl),
        _ => None,
    }
}

fn by_content(line: &str) -> SheetFormat {
    if line.trim_start().starts_with(['{', '[']) {
        SheetFormat::Jsonl
    } else {
        SheetFormat::Csv
    }
}

fn read(
    source: Source,
    rows: &mut Rows<'_>,
    faults: &mut Faults,
    progress: &Progress,
) -> io::Result<()> {
    let mut lines = Lines::new(source.reader);
    let mut format = source.format;
    let mut header = None;
    while let Some(line) = lines.next(faults)? {
        progress.read(line.read);
        let Some(text) = line.text else {
            if header.is_none() && format != Some(SheetFormat::Jsonl) {
                return Ok(());
            }
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        // Excel takes the separator from such a line; it is told from the next one anyway.
        let is_hint = |text: &str| {
            text.get(..4)
                .is_some_and(|s| s.eq_ignore_ascii_case("sep="))
        };
        if line.number == 1 && format != Some(SheetFormat::Jsonl) && is_hint(text) {
            continue;
        }
        let record = match format.get_or_insert_with(|| by_content(text)) {
            SheetFormat::Jsonl => jsonl::record(text, line.number, faults),
            SheetFormat::Csv => match &mut header {
                Some(header) => Header::record(header, text, line.number, faults),
                None => match Header::read(text, line.number, faults) {
                    Some(read) => {
                        header = Some(read);
                        continue;
                    }
                    None => return Ok(()),
                },
            },
        };
        if let Some(record) = record {
            rows.take(&record, faults);
        }
    }
    if header.is_none() && format != Some(SheetFormat::Jsonl) {
        let columns = Column::ALL.map(Column::name).join(",");
        let message = format!("it is empty: the first line names the columns, such as `{columns}`");
        faults.push(Fault::new(1, 1, message));
    }
    Ok(())
}

/// Says of refused rows where they stand, and what would be right.
fn explain(name: &str, refused: &[RowRefusal], rows: &Rows<'_>) -> Faults {
    let mut faults = Faults::new(name);
    for refusal in refused {
        let (Some(row), Some(origin)) = (rows.puts.get(refusal.row), rows.origins.get(refusal.row))
        else {
            continue;
        };
        if let RowError::Conflict(Conflict::Device { owner, .. }) = &refusal.why
            && rows.faulty.contains(&(row.tenant, owner.clone()))
        {
            // Its own line may give the device away, once it is right.
            continue;
        }
        faults.push(fault(&refusal.why, origin, row.username.as_str()));
    }
    faults
}

fn fault(why: &RowError, origin: &Origin, username: &str) -> Fault {
    let of = |column: Column, message: String| {
        Fault::new(origin.line, origin.column(column), message).of(column)
    };
    match why {
        RowError::Conflict(Conflict::Device { mac, owner }) => {
            let hint = if owner.as_str().eq_ignore_ascii_case(username) {
                ", whose name differs by case: names match exactly"
            } else {
                ": take it from there first, or list that subscriber without it"
            };
            let message = format!("{why}{hint}");
            Fault::new(origin.line, origin.device(*mac), message).of(Column::Devices)
        }
        RowError::Conflict(Conflict::HasAccess(_)) => of(Column::ExpiresAt, why.to_string()),
        RowError::Conflict(Conflict::RouterTenant(_)) => of(Column::Router, why.to_string()),
        RowError::Missing(Missing::Router) => {
            let message = "the router is there no longer: name another, or none for any router";
            of(Column::Router, message.into())
        }
        RowError::Missing(Missing::Tenant) => of(Column::Tenant, why.to_string()),
        RowError::Shortens(_) => {
            let message = format!("{why}: give --shorten if lists may take time away");
            of(Column::ExpiresAt, message)
        }
        RowError::Missing(_) | RowError::Conflict(_) => of(Column::Username, why.to_string()),
    }
}

#[cfg(test)]
mod tests;
