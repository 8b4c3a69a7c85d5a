//! Questions about the router itself, which are asked again where it broke its answer off.

use crate::{
    client::{Client, ClientError},
    dial::Stream,
    proto::{Answer, Trap},
    wire::Sentence,
};

/// How often what broke off is asked again.
const REPEATS: usize = 3;

/// How many rows an answer has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// One: what broke off after it has said all.
    One,
    /// Any number.
    Many,
}

/// Asks all questions, each a command and the columns that are wanted, in one flight, and again what
/// the router broke off. `on_row` gets the rows with the place of their question; those of an answer
/// that is asked again come again.
pub(crate) async fn ask<S: Stream>(
    mut client: Client<S>,
    questions: &[(&'static str, &'static str)],
    expected: Rows,
    mut on_row: impl FnMut(usize, Sentence),
) -> Result<(Client<S>, Vec<Answer>), ClientError> {
    let mut answers: Vec<Answer> = questions.iter().map(|_| Ok(None)).collect();
    let mut has_rows = vec![false; questions.len()];
    let mut open: Vec<usize> = (0..questions.len()).collect();
    for _ in 0..=REPEATS {
        let commands = open.iter().filter_map(|at| questions.get(*at));
        let commands = commands
            .map(|(command, columns)| Sentence::new(*command).attribute(".proplist", columns))
            .collect();
        let place = |at: usize, row| {
            if let Some(at) = open.get(at).copied() {
                if let Some(has_rows) = has_rows.get_mut(at) {
                    *has_rows = true;
                }
                on_row(at, row);
            }
        };
        let (same, answered) = client.flight(commands, place).await?;
        client = same;
        for (at, answer) in open.iter().zip(answered) {
            if let Some(place) = answers.get_mut(*at) {
                *place = answer;
            }
        }
        open.retain(|at| {
            let answer = answers.get(*at);
            let broke_off = answer.is_some_and(|answer| answer.as_ref().is_err_and(Trap::may_pass));
            let has_all = expected == Rows::One && has_rows.get(*at).is_some_and(|has| *has);
            broke_off && !has_all
        });
        if open.is_empty() {
            break;
        }
    }
    Ok((client, answers))
}
