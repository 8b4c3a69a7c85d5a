//! What a router says about itself.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, Utc};
use expiry_core::{GatewayError, Hardware, RouterFacts, text::one_line};

use crate::{
    client::{Client, ClientError},
    dial::Stream,
    proto::Answer,
    questions::{Rows, ask},
    wire::Sentence,
};

const IDENTITY: &str = "/system/identity/print";
const ROUTERBOARD: &str = "/system/routerboard/print";
const RESOURCE: &str = "/system/resource/print";
const CLOCK: &str = "/system/clock/print";

/// The questions, and the columns that are wanted.
const QUESTIONS: [(&str, &str); 4] = [
    (IDENTITY, "name"),
    (ROUTERBOARD, "serial-number"),
    (RESOURCE, "version,board-name,uptime"),
    (CLOCK, "date,time,gmt-offset"),
];

/// Asks all of it in one flight, and again what the router broke off. The inner error is an answer
/// and leaves the connection good.
pub(crate) async fn read<S: Stream>(
    client: Client<S>,
) -> Result<(Client<S>, Result<RouterFacts, GatewayError>), ClientError> {
    let mut rows = [const { None }; QUESTIONS.len()];
    let keep_first = |at: usize, row| {
        if let Some(slot) = rows.get_mut(at) {
            let _: &mut Sentence = slot.get_or_insert(row);
        }
    };
    // One row is all that there is to each of them.
    let (client, answers) = ask(client, &QUESTIONS, Rows::One, keep_first).await?;
    let facts = check(&answers, &rows).map(|()| facts(&rows));
    Ok((client, facts))
}

/// A menu that a router does not have leaves its facts unknown (virtual machines have no
/// routerboard) and keeps no cut from being made. Without the permission to read, nothing that a
/// look shows can be trusted, and without an answer to which box it is, it may be another.
fn check(answers: &[Answer], rows: &[Option<Sentence>]) -> Result<(), GatewayError> {
    let asked = [IDENTITY, ROUTERBOARD, RESOURCE];
    for ((command, answer), row) in asked.into_iter().zip(answers).zip(rows) {
        let Err(trap) = answer else {
            continue;
        };
        let names_the_box = command != RESOURCE && row.is_none();
        if trap.is_forbidden() || trap.may_pass() && names_the_box {
            return Err(GatewayError::Refused {
                command: command.into(),
                message: trap.message.clone(),
            });
        }
    }
    Ok(())
}

fn facts([identity, routerboard, resource, clock]: &[Option<Sentence>; 4]) -> RouterFacts {
    let field = |row: &Option<Sentence>, name| {
        let text = row.as_ref()?.get_text(name)?;
        (!text.is_empty()).then(|| one_line(&text).into_owned())
    };
    RouterFacts {
        hardware: Hardware {
            identity: field(identity, "name").unwrap_or_default(),
            serial: field(routerboard, "serial-number"),
        },
        version: field(resource, "version"),
        board: field(resource, "board-name"),
        uptime: field(resource, "uptime"),
        clock: clock.as_ref().and_then(|row| {
            let field = |name| row.get_text(name);
            instant(&field("date")?, &field("time")?, &field("gmt-offset")?)
        }),
    }
}

/// Reads a clock. RouterOS writes its date as `2026-11-24`, before 7.10 as `nov/24/2026`.
fn instant(date: &str, time: &str, offset: &str) -> Option<DateTime<Utc>> {
    let date = ["%Y-%m-%d", "%b/%d/%Y"]
        .iter()
        .find_map(|format| NaiveDate::parse_from_str(date, format).ok())?;
    let time = NaiveTime::parse_from_str(time, "%H:%M:%S").ok()?;
    let east = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        FixedOffset::east_opt(
            hours
                .checked_mul(3600)?
                .checked_add(minutes.checked_mul(60)?)?,
        )
    };
    let offset = match offset.strip_prefix('-') {
        Some(west) => east(west).map(|east| FixedOffset::east_opt(-east.local_minus_utc()))?,
        None => east(offset.strip_prefix('+').unwrap_or(offset)),
    };
    let at = date.and_time(time).and_local_timezone(offset?).single()?;
    Some(at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_a_clock_is_read_in_both_spellings_and_taken_to_utc() {
        let utc = "2026-11-24T18:00:05Z".parse().ok();
        assert_eq!(instant("2026-11-24", "21:00:05", "+03:00"), utc);
        assert_eq!(instant("nov/24/2026", "18:00:05", "+00:00"), utc);
        assert_eq!(instant("2026-11-24", "14:30:05", "-03:30"), utc);
        for (date, time, offset) in [
            ("2026-13-01", "00:00:00", "+00:00"),
            ("2026-11-24", "25:00:00", "+00:00"),
            ("2026-11-24", "00:00:00", ""),
            ("2026-11-24", "00:00:00", "+99999999:00"),
        ] {
            assert_eq!(instant(date, time, offset), None, "{date} {time} {offset}");
        }
    }

    #[test]
    fn what_a_router_is_named_moves_no_cursor() {
        let row = Sentence::new("!re").attribute("name", "hill\u{1b}[2J\nx");
        let facts = facts(&[Some(row), None, None, None]);
        assert_eq!(facts.hardware.identity, r"hill\u{1b}[2J\nx");
    }
}
