use std::{collections::BTreeSet, time::Duration};

use secrecy::SecretString;

/// A way for a device to log in, as far as the hotspot's server profile offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoginMethod {
    /// An HTTP cookie from an earlier login, shown by the browser.
    Cookie,
    /// The form of the login page, with name and password.
    Form,
    /// An account named like the device's MAC, tried once when the device is first seen.
    Mac,
    /// What the router remembers of a device that was logged in, tried when it is first seen.
    MacCookie,
    /// A short session for everybody, without an account.
    Trial,
}

impl LoginMethod {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Form => "http-chap",
            Self::Mac => "mac",
            Self::MacCookie => "mac-cookie",
            Self::Trial => "trial",
        }
    }
}

/// How this router words a row that is not there. Both are seen in the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaleIdText {
    /// `no such item`
    #[default]
    Plain,
    /// `no such item (4)`
    Numbered,
}

impl StaleIdText {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "no such item",
            Self::Numbered => "no such item (4)",
        }
    }
}

/// Whether a router can have a hotspot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HotspotMenu {
    /// It can.
    #[default]
    Present,
    /// The package is missing or switched off.
    NoPackage,
    /// Its device-mode forbids it.
    Forbidden,
}

/// What a simulated router is and how it behaves.
///
/// ```
/// use expiry_mikrotik::sim::SimConfig;
///
/// let config = SimConfig {
///     identity: "cafe".into(),
///     ..SimConfig::new("api", "secret".into())
/// };
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on a real router"
)]
pub struct SimConfig {
    /// `/system/identity`.
    pub identity: String,
    /// Serial number of the board; `None` for a virtual router, which has none.
    pub serial: Option<String>,
    /// System-id of the licence of a virtual router.
    pub system_id: Option<String>,
    /// Whether it can have a hotspot.
    pub hotspot_menu: HotspotMenu,
    /// Whether its hotspot server is enabled.
    pub hotspot_enabled: bool,
    /// RouterOS version.
    pub version: String,
    /// Board name.
    pub board: String,
    /// The API account.
    pub username: String,
    /// The API account's password.
    pub password: SecretString,
    /// Whether the API account's group has the `api` policy.
    pub api_policy: bool,
    /// Whether the API account's group has the `write` policy.
    pub write_policy: bool,
    /// Serial work per command: the router does one command after another, over all connections.
    pub delay: Duration,
    /// Logged-in and waiting API connections beyond this number are closed at once.
    pub max_sessions: usize,
    /// Whether a print without rows answers `!empty`, as RouterOS does since 7.18.
    pub empty_reply: bool,
    /// Whether flags that are false are left out of the answers.
    pub omit_false_flags: bool,
    /// How a row that is gone is worded.
    pub stale_id: StaleIdText,
    /// Seeds the order in which answers to different tags are mixed.
    pub seed: u64,
    /// Ways to log in.
    pub login_by: BTreeSet<LoginMethod>,
    /// Whether a login also leaves a MAC cookie (if [`LoginMethod::MacCookie`] is offered).
    pub add_mac_cookie: bool,
    /// Sessions one account may have at a time; `None` is unlimited.
    pub shared_users: Option<usize>,
    /// Whether disabling or removing an account ends its sessions. Real routers let them run.
    pub disable_ends_sessions: bool,
    /// Whether a binding that is added or enabled lets a known device pass only after its host
    /// row was removed.
    pub bypass_needs_new_host: bool,
    /// Whether there is a DHCP server, and so its menu.
    pub dhcp_server: bool,
    /// Whether the firewall has a rule that fasttracks established connections.
    pub fasttrack_rule: bool,
    /// How long a login takes from the check of the password until the session appears.
    pub login_latency: Duration,
    /// How long cookies are good.
    pub cookie_lifetime: Duration,
    /// How long a session lasts at most.
    pub session_timeout: Option<Duration>,
    /// How long a trial lasts, per device.
    pub trial_limit: Duration,
    /// How long a silent device keeps its session and host row.
    pub keepalive_timeout: Duration,
    /// A device that is on sends one packet in each such interval. Not zero.
    pub packet_interval: Duration,
    /// What the router's clock showed when the simulation began, in seconds since 1970.
    pub wall_clock_start: u64,
}

impl SimConfig {
    /// A router with the defaults of RouterOS 7.18 and this API account.
    pub fn new(username: impl Into<String>, password: SecretString) -> Self {
        Self {
            identity: "MikroTik".into(),
            serial: Some("HF10A1B2C3D".into()),
            system_id: None,
            hotspot_menu: HotspotMenu::default(),
            hotspot_enabled: true,
            version: "7.18.2 (stable)".into(),
            board: "RB5009UG+S+".into(),
            username: username.into(),
            password,
            api_policy: true,
            write_policy: true,
            delay: Duration::ZERO,
            max_sessions: 20,
            empty_reply: true,
            omit_false_flags: false,
            stale_id: StaleIdText::default(),
            seed: 0,
            login_by: [LoginMethod::Cookie, LoginMethod::Form].into(),
            add_mac_cookie: true,
            shared_users: Some(1),
            disable_ends_sessions: false,
            bypass_needs_new_host: false,
            dhcp_server: true,
            fasttrack_rule: true,
            login_latency: Duration::ZERO,
            cookie_lifetime: Duration::from_hours(72),
            session_timeout: None,
            trial_limit: Duration::from_mins(30),
            keepalive_timeout: Duration::from_mins(2),
            packet_interval: Duration::from_millis(10),
            wall_clock_start: 1_767_225_600,
        }
    }

    pub(super) fn offers(&self, method: LoginMethod) -> bool {
        self.login_by.contains(&method)
    }
}
