//! What the commands of the API do.

mod menu;
mod outbox;
mod print;
mod query;
mod trap;
mod write;

use std::time::Duration;

use self::menu::Menu;
pub(super) use self::outbox::Outbox;
pub use self::trap::Trap;
use super::{HotspotMenu, hotspot::Hotspot};
use crate::wire::Sentence;

/// What a command answers, besides that it is done.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Sentence>,
    pub(super) ret: Option<Vec<u8>>,
    /// Whether a lack of rows is worth a word.
    pub(super) is_list: bool,
}

/// Does a command of a logged-in client.
pub(super) fn execute(
    hotspot: &mut Hotspot,
    booted_at: Duration,
    command: &Sentence,
) -> Result<Answer, Trap> {
    let path = std::str::from_utf8(command.command()).unwrap_or_default();
    let (path, verb) = path.rsplit_once('/').ok_or_else(Trap::no_such_command)?;
    if path.starts_with("/ip/hotspot") {
        match hotspot.config.hotspot_menu {
            HotspotMenu::Present => {}
            HotspotMenu::NoPackage => return Err(Trap::no_such_command()),
            HotspotMenu::Forbidden => return Err(Trap::new("failure: not allowed by device-mode")),
        }
    }
    let menu = Menu::at(path).ok_or_else(Trap::no_such_command)?;
    if menu == Menu::Lease && !hotspot.config.dhcp_server {
        return Err(Trap::no_such_command());
    }
    match verb {
        "print" | "getall" => Ok(print::print(hotspot, booted_at, menu, command)),
        _ if !hotspot.config.write_policy => Err(Trap::not_permitted()),
        _ => write::write(hotspot, menu, verb, command),
    }
}
