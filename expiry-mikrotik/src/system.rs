//! What a router says about itself.

use expiry_core::{GatewayError, Hardware, RouterFacts};

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
    let facts = check(&answers).and_then(|()| facts(&rows));
    Ok((client, facts))
}

/// Virtual machines and PCs may have no routerboard menu; everything else has to answer.
fn check(answers: &[Answer]) -> Result<(), GatewayError> {
    for (command, answer) in [IDENTITY, ROUTERBOARD, RESOURCE].into_iter().zip(answers) {
        match answer {
            Err(trap) if command == ROUTERBOARD && trap.is_missing_menu() => {}
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

fn facts(
    [identity, routerboard, resource]: &[Option<Sentence>; 3],
) -> Result<RouterFacts, GatewayError> {
    let field = |row: &Option<Sentence>, name| {
        let text = row.as_ref()?.get_text(name)?;
        (!text.is_empty()).then_some(text)
    };
    let identity = field(identity, "name").ok_or_else(|| GatewayError::Protocol {
        reason: "the router does not say its identity".into(),
    })?;
    Ok(RouterFacts {
        hardware: Hardware {
            identity,
            serial: field(routerboard, "serial-number"),
        },
        version: field(resource, "version"),
        board: field(resource, "board-name"),
        uptime: field(resource, "uptime"),
    })
}
