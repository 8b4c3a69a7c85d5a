//! What a router says about itself.

use expiry_core::{GatewayError, Hardware, RouterFacts, text::one_line};

use crate::{
    client::{Client, ClientError},
    dial::Stream,
    proto::{Answer, Trap},
    wire::Sentence,
};

const IDENTITY: &str = "/system/identity/print";
const ROUTERBOARD: &str = "/system/routerboard/print";
const RESOURCE: &str = "/system/resource/print";

/// Asks all of it in one flight. The inner error is an answer and leaves the connection good.
pub(crate) async fn read<S: Stream>(
    client: Client<S>,
) -> Result<(Client<S>, Result<RouterFacts, GatewayError>), ClientError> {
    let questions = [
        (IDENTITY, "name"),
        (ROUTERBOARD, "serial-number"),
        (RESOURCE, "version,board-name,uptime"),
    ];
    let commands = questions
        .map(|(command, columns)| Sentence::new(command).attribute(".proplist", columns))
        .to_vec();
    let mut rows = [const { None }; 3];
    let keep_first = |at: usize, row| {
        if let Some(slot) = rows.get_mut(at) {
            let _: &mut Sentence = slot.get_or_insert(row);
        }
    };
    let (client, answers) = client.flight(commands, keep_first).await?;
    let facts = check(&answers).map(|()| facts(&rows));
    Ok((client, facts))
}

/// A menu that a router does not have leaves its facts unknown (virtual machines have no
/// routerboard) and keeps no cut from being made. Any other error stands: without the permission
/// to read, nothing that a look shows can be trusted.
fn check(answers: &[Answer]) -> Result<(), GatewayError> {
    for (command, answer) in [IDENTITY, ROUTERBOARD, RESOURCE].into_iter().zip(answers) {
        match answer {
            Err(trap) if trap.is_missing_menu() => {}
            Err(Trap { message, .. }) => {
                return Err(GatewayError::Refused {
                    command: command.into(),
                    message: message.clone(),
                });
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn facts([identity, routerboard, resource]: &[Option<Sentence>; 3]) -> RouterFacts {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_router_is_named_moves_no_cursor() {
        let row = Sentence::new("!re").attribute("name", "hill\u{1b}[2J\nx");
        let facts = facts(&[Some(row), None, None]);
        assert_eq!(facts.hardware.identity, r"hill\u{1b}[2J\nx");
    }
}
