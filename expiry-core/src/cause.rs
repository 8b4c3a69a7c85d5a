//! Why a router cannot be served or cut on: one table, for `router test`, `doctor`, `status`,
//! `explain`, the HTTP service and the log alike.
//!
//! A cause is what was seen, named; it is never guessed from a port number. Each has a code that
//! never changes, one sentence that says what is wrong, and one that says the way out.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::GatewayError;

/// Why a router cannot be served or cut on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The host's name is unknown.
    HostNotFound,
    /// The host refuses connections to the port.
    ConnectionRefused,
    /// There is no way to the address.
    NoRoute,
    /// Nothing answers at the address.
    ConnectTimedOut,
    /// The connection cannot be made, for another reason.
    ConnectFailed,
    /// The connection was closed before anything was said.
    ClosedAtOnce,
    /// The connection was closed when the login had been sent, without an answer.
    ClosedAtLogin,
    /// Connected, and the login was not answered.
    LoginSilent,
    /// The port speaks TLS.
    TlsPort,
    /// The port speaks SSH.
    SshPort,
    /// The port speaks HTTP.
    HttpPort,
    /// The port greets like an FTP or mail server.
    GreetingPort,
    /// The port speaks something else than the RouterOS API.
    OtherProtocol,
    /// No password can be had for the login.
    NoPassword,
    /// The password is sealed with another key than this machine has.
    OtherKey,
    /// The key file is not there.
    KeyMissing,
    /// The key file cannot be used.
    KeyUnusable,
    /// The router refuses the account.
    LoginRefused,
    /// The account's group may not use the API.
    NoApiPolicy,
    /// The router knows only the login of RouterOS before 6.43.
    TooOld,
    /// Another box answers than the one on record.
    OtherBox,
    /// The box is on record already, as another router.
    SameBox,
    /// The virtual router has the system-id of another router.
    SameSystemId,
    /// The connection ended in the middle.
    ConnectionLost,
    /// The router is logged in to, and does not answer in time.
    AnswerTimedOut,
    /// The account's group may not read.
    NoReadPolicy,
    /// The account's group may not write.
    NoWritePolicy,
    /// The router has no hotspot menu.
    NoHotspot,
    /// The router's device-mode forbids the hotspot.
    DeviceMode,
    /// The router answers a menu with an error.
    MenuRefused,
    /// The hotspot has no server that is enabled.
    NoHotspotServer,
    /// The router's clock was never set since it started.
    ClockNotSet,
    /// The router's clock is wrong.
    ClockOff,
}

/// The step in which it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Finding the address of the host's name.
    NameLookup,
    /// Making the connection.
    Connect,
    /// Saying the first words in the RouterOS API.
    Talk,
    /// Logging in.
    Login,
    /// Making sure that it is the box on record.
    Recognise,
    /// Reading a menu.
    Read,
    /// Changing rows.
    Write,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameLookup => "name lookup",
            Self::Connect => "connecting",
            Self::Talk => "talking the RouterOS API",
            Self::Login => "logging in",
            Self::Recognise => "recognising the box",
            Self::Read => "reading",
            Self::Write => "permission to write",
        })
    }
}

/// A row of the table. `{router}` in a way out stands for the router's name.
struct Row {
    code: &'static str,
    step: Step,
    says: &'static str,
    way_out: &'static str,
}

const fn row(code: &'static str, step: Step, says: &'static str, way_out: &'static str) -> Row {
    Row {
        code,
        step,
        says,
        way_out,
    }
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 33] = [
        Self::HostNotFound,
        Self::ConnectionRefused,
        Self::NoRoute,
        Self::ConnectTimedOut,
        Self::ConnectFailed,
        Self::ClosedAtOnce,
        Self::ClosedAtLogin,
        Self::LoginSilent,
        Self::TlsPort,
        Self::SshPort,
        Self::HttpPort,
        Self::GreetingPort,
        Self::OtherProtocol,
        Self::NoPassword,
        Self::OtherKey,
        Self::KeyMissing,
        Self::KeyUnusable,
        Self::LoginRefused,
        Self::NoApiPolicy,
        Self::TooOld,
        Self::OtherBox,
        Self::SameBox,
        Self::SameSystemId,
        Self::ConnectionLost,
        Self::AnswerTimedOut,
        Self::NoReadPolicy,
        Self::NoWritePolicy,
        Self::NoHotspot,
        Self::DeviceMode,
        Self::MenuRefused,
        Self::NoHotspotServer,
        Self::ClockNotSet,
        Self::ClockOff,
    ];

    #[expect(clippy::too_many_lines, reason = "it is one table")]
    const fn row(self) -> Row {
        match self {
            Self::HostNotFound => row(
                "host_not_found",
                Step::NameLookup,
                "the name of the host cannot be found",
                "check the name and this machine's DNS, or give an IP address: \
                 `expiryctl router set {router} --host ADDRESS`",
            ),
            Self::ConnectionRefused => row(
                "connection_refused",
                Step::Connect,
                "the host answers, but nobody listens at this port, or its firewall refuses",
                "switch the service on with `/ip service enable api`, and compare the port with \
                 `/ip service print` on the router",
            ),
            Self::NoRoute => row(
                "no_route",
                Step::Connect,
                "no way leads from this machine to the address, or a firewall on the way refuses",
                "is the VPN up? `ip route get ADDRESS` on this machine shows the way it takes",
            ),
            Self::ConnectTimedOut => row(
                "connect_timeout",
                Step::Connect,
                "nothing answers at the address",
                "is the router on, the VPN up, and does the router's firewall let this machine in?",
            ),
            Self::ConnectFailed => row(
                "connect_failed",
                Step::Connect,
                "the connection cannot be made",
                "check host and port, the VPN, and the limits of this machine",
            ),
            Self::ClosedAtOnce => row(
                "closed_at_once",
                Step::Talk,
                "the router closes the connection before a word is said: the address list of its \
                 service `api` leaves this machine out, or all its sessions are taken \
                 (`max-sessions`)",
                "on the router, `/ip service print detail where name=api` shows `address` and \
                 `max-sessions`, `/user active print` who takes the sessions",
            ),
            Self::ClosedAtLogin => row(
                "closed_at_login",
                Step::Talk,
                "whatever listens there waited for our login and hung up on it: it is probably not \
                 the service `api`",
                "give the port of the service `api` (`/ip service print` on the router): \
                 `expiryctl router set {router} --port 8728`",
            ),
            Self::LoginSilent => row(
                "login_silent",
                Step::Login,
                "the port takes connections, but our login is not answered: the router is very \
                 busy, or the port is not that of the service `api`",
                "look at `/system resource print` on the router, and compare the port with \
                 `/ip service print`",
            ),
            Self::TlsPort => row(
                "tls_port",
                Step::Talk,
                "the port speaks TLS, like the service `api-ssl`, which is not supported",
                "reach the router through a VPN by the plain service `api`: \
                 `expiryctl router set {router} --port 8728`",
            ),
            Self::SshPort => row(
                "ssh_port",
                Step::Talk,
                "an SSH server answers at this port",
                "give the port of the service `api`: `expiryctl router set {router} --port 8728`",
            ),
            Self::HttpPort => row(
                "http_port",
                Step::Talk,
                "a web server answers at this port",
                "give the port of the service `api`: `expiryctl router set {router} --port 8728`",
            ),
            Self::GreetingPort => row(
                "greeting_port",
                Step::Talk,
                "an FTP or mail server answers at this port",
                "give the port of the service `api`: `expiryctl router set {router} --port 8728`",
            ),
            Self::OtherProtocol => row(
                "other_protocol",
                Step::Talk,
                "what answers at this port does not speak the RouterOS API",
                "give the port of the service `api` (`/ip service print` on the router): \
                 `expiryctl router set {router} --port 8728`",
            ),
            Self::NoPassword => row(
                "no_password",
                Step::Login,
                "the password of the account is not to be had",
                "give it again: `expiryctl router set {router} --password-file FILE`",
            ),
            Self::OtherKey => row(
                "other_key",
                Step::Login,
                "the password of the account was sealed with another key than the one here",
                "copy the key file from the machine or backup that has the right one, or give the \
                 password again: `expiryctl router set {router} --password-file FILE`; if the key \
                 is lost, `expiryctl secrets reset` forgets all that it sealed",
            ),
            Self::KeyMissing => row(
                "key_missing",
                Step::Login,
                "the key file that opens the password of the account is missing",
                "copy it there from the machine or backup that has it; if it is lost, `expiryctl \
                 secrets reset` makes a new one and forgets the passwords, then \
                 `expiryctl router set {router} --password-file FILE`",
            ),
            Self::KeyUnusable => row(
                "key_unusable",
                Step::Login,
                "the key file that opens the password of the account cannot be used",
                "mend the key file: one line of 64 hexadecimal digits, mode 0600, owned by who \
                 runs this program; or copy it from the machine or backup that has it",
            ),
            Self::LoginRefused => row(
                "login_refused",
                Step::Login,
                "the router does not take this account with this password",
                "set them with `expiryctl router set {router} --username NAME --password-file \
                 FILE`; `/user print` on the router shows its accounts, and from which addresses \
                 they may come",
            ),
            Self::NoApiPolicy => row(
                "no_api_policy",
                Step::Login,
                "the group of the account may not use the API",
                "on the router, give the account's group the policies `api`, `read` and `write`: \
                 `/user group set GROUP policy=api,read,write`",
            ),
            Self::TooOld => row(
                "too_old",
                Step::Login,
                "the router asks for the challenge login of RouterOS before 6.43, which is too old",
                "upgrade the router: `/system package update install`",
            ),
            Self::OtherBox => row(
                "other_box",
                Step::Recognise,
                "another box answers than the one on record, and nothing is done on it",
                "if the box was replaced: `expiryctl router accept {router}`; if the address is \
                 wrong: `expiryctl router set {router} --host ADDRESS`",
            ),
            Self::SameBox => row(
                "same_box",
                Step::Recognise,
                "it is the same box as a router that is on record already, and is served as that one",
                "remove the one that is too much: `expiryctl router remove {router}`, with \
                 `--force` if something is owed there: those cuts are made through the other one",
            ),
            Self::SameSystemId => row(
                "same_system_id",
                Step::Recognise,
                "it is one virtual router under two addresses, or both were cloned from one image",
                "if it is one: `expiryctl router remove {router}`; if they are two: \
                 `/system license generate-new-id` on one of them",
            ),
            Self::ConnectionLost => row(
                "connection_lost",
                Step::Talk,
                "the connection ended in the middle",
                "did the router restart, or is the link bad? It is tried again",
            ),
            Self::AnswerTimedOut => row(
                "answer_timeout",
                Step::Talk,
                "the router let us in and then did not answer in time",
                "is the router very busy (`/system resource print`), or the link bad? Routers that \
                 are always slow need longer times in `[gateway]` of the configuration",
            ),
            Self::NoReadPolicy => row(
                "no_read_policy",
                Step::Read,
                "the group of the account may not read",
                "on the router, give the account's group the policies `api`, `read` and `write`: \
                 `/user group set GROUP policy=api,read,write`",
            ),
            Self::NoWritePolicy => row(
                "no_write_policy",
                Step::Write,
                "the group of the account may not write, so nobody can be cut",
                "on the router, give the account's group the policies `api`, `read` and `write`: \
                 `/user group set GROUP policy=api,read,write`",
            ),
            Self::NoHotspot => row(
                "no_hotspot",
                Step::Read,
                "the router has no hotspot menu: the hotspot package is missing or switched off",
                "on the router, `/system package print` shows it: `/system package enable hotspot`, \
                 then restart it",
            ),
            Self::DeviceMode => row(
                "device_mode",
                Step::Read,
                "the router's device-mode forbids the hotspot",
                "on the router `/system device-mode update hotspot=yes`, then press its button or \
                 cut its power within five minutes, as it says",
            ),
            Self::MenuRefused => row(
                "menu_refused",
                Step::Read,
                "the router answers, and refuses this menu",
                "type the command on the router: what it says there is what we are told",
            ),
            Self::NoHotspotServer => row(
                "no_hotspot_server",
                Step::Read,
                "no hotspot server is set up and enabled on the router, so nobody can log in there",
                "on the router `/ip hotspot print` shows the servers; `/ip hotspot setup` makes one",
            ),
            Self::ClockNotSet => row(
                "clock_not_set",
                Step::Read,
                "the router's clock was not set since it started: its log, its scheduler and its \
                 certificates go by a wrong time; cuts do not, they go by the database's clock",
                "on the router `/system ntp client set enabled=yes servers=pool.ntp.org`, and check \
                 with `/system clock print`",
            ),
            Self::ClockOff => row(
                "clock_off",
                Step::Read,
                "the router's clock is wrong: its log, its scheduler and its certificates go by it; \
                 cuts do not, they go by the database's clock",
                "on the router `/system ntp client set enabled=yes servers=pool.ntp.org`, and check \
                 with `/system clock print`",
            ),
        }
    }

    /// Returns the word that programs know it by. It never changes.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Reads the word that programs know it by.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.code() == code)
    }

    /// Tells whether it is that there is no password: then the router was not asked anything.
    pub fn is_password(self) -> bool {
        matches!(
            self,
            Self::NoPassword | Self::OtherKey | Self::KeyMissing | Self::KeyUnusable
        )
    }

    /// Returns the step in which it shows.
    pub fn step(self) -> Step {
        self.row().step
    }

    /// Reads the cause of a line that [`Trouble::line`] made. A line of a later version, or of one
    /// before there were causes, has none.
    pub fn in_line(line: &str) -> Option<Self> {
        let (_, code) = line.strip_suffix(']')?.rsplit_once(" [")?;
        Self::from_code(code)
    }

    /// Says what is wrong.
    pub fn says(self) -> &'static str {
        self.row().says
    }

    /// Says the way out, for a router of this name if it has one.
    pub fn way_out(self, router: Option<&str>) -> String {
        self.row()
            .way_out
            .replace("{router}", router.unwrap_or("NAME"))
    }

    /// Names the error with which a router answered a command in `step`.
    pub fn of_trap(step: Step, command: &str, message: &str) -> Self {
        let is = |words: &str| message.contains(words);
        let is_hotspot = command.starts_with("/ip/hotspot");
        if is("device-mode") {
            Self::DeviceMode
        } else if is("not enough permissions") {
            if step == Step::Write {
                Self::NoWritePolicy
            } else {
                Self::NoReadPolicy
            }
        } else if is("no such command") && is_hotspot {
            Self::NoHotspot
        } else {
            Self::MenuRefused
        }
    }
}

/// A cause, and what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub cause: Cause,
    /// What was seen.
    pub seen: String,
}

impl Trouble {
    /// Returns what is kept in the database: what was seen, and the code.
    pub fn line(&self) -> String {
        format!("{} [{}]", self.seen, self.cause.code())
    }

    /// Says in one line which step failed, what was seen, what that means and the way out, for a
    /// router of this name if it has one.
    pub fn told(&self, router: Option<&str>) -> String {
        format!("{self}; {}", self.cause.way_out(router))
    }
}

/// Which step failed, what was seen and what that means.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, seen } = self;
        // All was read: what it says is what is wrong.
        let was_read = [Cause::NoHotspotServer, Cause::ClockNotSet, Cause::ClockOff];
        if !was_read.contains(cause) {
            write!(f, "{} failed: ", cause.step())?;
        }
        write!(f, "{seen}: {}", cause.says())
    }
}

impl std::error::Error for Trouble {}

impl From<GatewayError> for Trouble {
    fn from(error: GatewayError) -> Self {
        Self {
            cause: error.cause(),
            seen: error.to_string(),
        }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_cause_has_a_code_of_its_own_that_reads_back() {
        let codes: BTreeSet<_> = Cause::ALL.into_iter().map(Cause::code).collect();
        assert_eq!(codes.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert_eq!(Cause::from_code(cause.code()), Some(cause));
        }
        assert_eq!(Cause::from_code("sunspots"), None);
    }

    #[test]
    fn each_cause_is_one_line_and_names_the_router_in_what_to_type() {
        for cause in Cause::ALL {
            let way_out = cause.way_out(Some("hill"));
            for text in [cause.says(), &way_out] {
                assert!(
                    !text.is_empty() && !text.contains(['\n', '{', '}']),
                    "{text}"
                );
                assert!(!text.contains("  ") && !text.ends_with('.'), "{text}");
            }
            if way_out.contains("expiryctl router") {
                assert!(way_out.contains(" hill"), "{way_out}");
            }
        }
    }

    #[test]
    fn the_line_that_is_kept_tells_the_cause_again() {
        for cause in Cause::ALL {
            let seen = "the router said [no] to it".into();
            let line = Trouble { cause, seen }.line();
            assert_eq!(Cause::in_line(&line), Some(cause), "{line}");
        }
        for line in [
            "",
            "no answer for 5 s",
            "x []",
            "x [sunspots]",
            "[tls_port]",
        ] {
            assert_eq!(Cause::in_line(line), None, "{line}");
        }
    }

    #[test]
    fn every_code_is_in_the_docs_with_its_words() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CAUSES.md");
        let docs = std::fs::read_to_string(file).expect("the page");
        for cause in Cause::ALL {
            let row = format!(
                "| `{}` | {} | {} |",
                cause.code(),
                cause.says(),
                cause.way_out(None)
            );
            assert!(docs.contains(&row), "not in docs/CAUSES.md:\n{row}");
        }
    }

    #[test]
    fn a_missing_menu_is_never_blamed_on_policies() {
        let of = |message| Cause::of_trap(Step::Read, "/ip/hotspot/user/print", message);
        assert_eq!(of("no such command prefix"), Cause::NoHotspot);
        assert_eq!(
            of("no such command or directory (hotspot)"),
            Cause::NoHotspot
        );
        assert_eq!(of("failure: not allowed by device-mode"), Cause::DeviceMode);
        assert_eq!(of("not enough permissions (9)"), Cause::NoReadPolicy);
        assert_eq!(of("contact MikroTik support"), Cause::MenuRefused);
        let write = |message| Cause::of_trap(Step::Write, "/ip/hotspot/active/remove", message);
        assert_eq!(write("not enough permissions (9)"), Cause::NoWritePolicy);
        assert_eq!(write("no such command prefix"), Cause::NoHotspot);
    }
}
