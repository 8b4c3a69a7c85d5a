//! What is set up on a router, for people who test it.

use expiry_core::{GatewayError, HotspotServer, Survey, text::one_line};

use crate::{
    client::{Client, ClientError},
    dial::Stream,
    proto::{Answer, Trap},
    questions::{Rows, ask},
    wire::Sentence,
};

const SERVERS: &str = "/ip/hotspot/print";
const DEVICE_MODE: &str = "/system/device-mode/print";
const LICENCE: &str = "/system/license/print";

const QUESTIONS: [(&str, &str); 3] = [
    (SERVERS, "name,disabled,invalid"),
    (DEVICE_MODE, "mode,hotspot"),
    (LICENCE, "system-id"),
];

/// Asks all of it in one flight, and again what the router broke off. The inner error is an answer
/// and leaves the connection good.
pub(crate) async fn read<S: Stream>(
    client: Client<S>,
) -> Result<(Client<S>, Result<Survey, GatewayError>), ClientError> {
    let mut servers: Vec<HotspotServer> = Vec::new();
    let mut survey = Survey::default();
    let on_row = |at: usize, row: Sentence| match at {
        0 => {
            // One that is shown again stands as it was shown last.
            let server = server(&row);
            servers.retain(|known| known.name != server.name);
            servers.push(server);
        }
        1 => survey.device_mode_forbids = row.get_text("hotspot").is_some_and(|on| is_no(&on)),
        _ => survey.system_id = row.get_text("system-id").filter(|id| !id.is_empty()),
    };
    let (client, answers) = ask(client, &QUESTIONS, Rows::Many, on_row).await?;
    survey.servers = Some(servers);
    let survey = check(&answers).map(|()| survey);
    Ok((client, survey))
}

/// Menus other than the hotspot are missing in older versions and on other boards.
fn check(answers: &[Answer]) -> Result<(), GatewayError> {
    let Some(Err(Trap { message, .. })) = answers.first() else {
        return Ok(());
    };
    Err(GatewayError::Refused {
        command: SERVERS.into(),
        message: message.clone(),
    })
}

fn server(row: &Sentence) -> HotspotServer {
    let is = |flag: &str| row.get_text(flag).is_some_and(|value| !is_no(&value));
    let name = row.get_text("name").unwrap_or_default();
    HotspotServer {
        name: one_line(&name).into_owned(),
        is_on: !is("disabled") && !is("invalid"),
    }
}

fn is_no(value: &str) -> bool {
    matches!(value, "no" | "false")
}
