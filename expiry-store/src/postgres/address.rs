//! Reads a URL of PostgreSQL as libpq does: one host or several, and what to ask of them.
//!
//! What is not known is refused by its name. No message holds the password.

use std::{collections::BTreeMap, fs, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::postgres::PgConnectOptions;

/// Where the database is, and which of its servers will do.
#[derive(Clone)]
pub(crate) struct Address {
    /// At least one, in the order in which they are tried.
    pub(crate) hosts: Vec<Host>,
    /// How long one host may take to let somebody in.
    pub(crate) wait: Duration,
    /// Whether a server that takes no writes will do.
    pub(crate) any: bool,
    /// Whether the database has the name of the user because the URL gives none.
    pub(crate) is_unnamed: bool,
}

/// One server.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) options: PgConnectOptions,
    /// `host:port`, or the path of the socket.
    pub(crate) shown: String,
}

/// How long a host may take unless the URL says otherwise.
const WAIT: u64 = 3;

/// The longest time that a URL may give a host, in seconds.
const LONGEST_WAIT: u64 = 10;

const KNOWN: [&str; 14] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
];

const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

type Parameters = BTreeMap<&'static str, String>;

/// A host and a port, as far as they are given.
type Place = (Option<String>, Option<u16>);

impl Address {
    /// # Errors
    /// Says what is wrong with the URL, without its password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (_, rest) = url.split_once(':').unwrap_or_default();
        let rest = rest.strip_prefix("//").ok_or("`//` is missing")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let mut given = Parameters::new();
        for (key, text) in [("user", user), ("password", password), ("dbname", database)] {
            if !text.is_empty() {
                given.insert(key, decoded(key, text)?);
            }
        }
        read_query(query, &mut given)?;
        let wait = seconds(given.remove("connect_timeout"))?;
        let any = takes_any(given.remove("target_session_attrs").as_deref())?;
        check_tls(&given)?;
        let places = places(hosts, &mut given)?;
        let mut address = Self {
            hosts: Vec::with_capacity(places.len()),
            wait,
            any,
            is_unnamed: false,
        };
        for (host, port) in places {
            let mut options = options(&given, host.as_deref(), port)?;
            if options.get_database().is_none() {
                // Said outright, it is found in the file of passwords, too.
                let mut named = given.clone();
                named.insert("dbname", options.get_username().into());
                options = self::options(&named, host.as_deref(), port)?;
                address.is_unnamed = true;
            }
            let shown = shown(&options);
            address.hosts.push(Host { options, shown });
        }
        Ok(address)
    }

    /// The URL without its password.
    pub(crate) fn shown(&self) -> String {
        let Some(first) = self.hosts.first() else {
            return "postgres://".into();
        };
        let user = first.options.get_username();
        let database = first.options.get_database().unwrap_or(user);
        let sockets: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|host| socket(&host.options))
            .collect();
        if sockets.is_empty() {
            let hosts: Vec<_> = self.hosts.iter().map(|h| h.shown.as_str()).collect();
            return format!("postgres://{user}@{}/{database}", hosts.join(","));
        }
        let list = |part: &dyn Fn(&PgConnectOptions) -> String| {
            let parts: Vec<_> = self.hosts.iter().map(|host| part(&host.options)).collect();
            parts.join(",")
        };
        let hosts = list(&|o| socket(o).unwrap_or_else(|| o.get_host().into()));
        let ports = list(&|o| o.get_port().to_string());
        format!("postgres://{user}@/{database}?host={hosts}&port={ports}")
    }
}

fn socket(options: &PgConnectOptions) -> Option<String> {
    let path = options.get_socket().map(|path| path.display().to_string());
    path.or_else(|| {
        let host = options.get_host();
        host.starts_with('/').then(|| host.into())
    })
}

fn shown(options: &PgConnectOptions) -> String {
    let port = options.get_port();
    match socket(options) {
        Some(directory) => format!("{directory}/.s.PGSQL.{port}"),
        None if options.get_host().contains(':') => format!("[{}]:{port}", options.get_host()),
        None => format!("{}:{port}", options.get_host()),
    }
}

fn read_query(query: &str, given: &mut Parameters) -> Result<(), String> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(known) = KNOWN.iter().find(|known| **known == key) else {
            return Err(unknown(key));
        };
        given.insert(known, decoded(known, text)?);
    }
    Ok(())
}

fn unknown(key: &str) -> String {
    let far = |known: &&str| strsim::damerau_levenshtein(known, &key.to_ascii_lowercase());
    let hint = match KNOWN.into_iter().min_by_key(far) {
        Some(nearest) if far(&nearest) <= 3 => format!("is `{nearest}` meant?"),
        _ => format!("known are {}", KNOWN.join(", ")),
    };
    let key: String = key.chars().filter(|c| !c.is_control()).take(40).collect();
    format!("the parameter `{key}` is not known: {hint}")
}

fn decoded(key: &str, text: &str) -> Result<String, String> {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(format!("{key} is no text once `%` is decoded")),
    }
}

fn seconds(given: Option<String>) -> Result<Duration, String> {
    let seconds = given.map_or(Ok(WAIT), |text| text.parse());
    match seconds {
        Ok(seconds @ 1..=LONGEST_WAIT) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!(
            "connect_timeout is how many seconds one host may take: from 1 to {LONGEST_WAIT}"
        )),
    }
}

fn takes_any(given: Option<&str>) -> Result<bool, String> {
    match given {
        None | Some("read-write" | "primary") => Ok(false),
        Some("any") => Ok(true),
        Some(text @ ("standby" | "prefer-standby" | "read-only")) => Err(format!(
            "target_session_attrs={text} asks for a server that takes no writes, and each cut is \
             written down: leave it out, or use `read-write`"
        )),
        Some(_) => Err("target_session_attrs is `read-write`, `primary` or `any`".into()),
    }
}

fn check_tls(given: &Parameters) -> Result<(), String> {
    if let Some(mode) = given.get("sslmode")
        && !SSL_MODES.contains(&mode.as_str())
    {
        return Err(format!("sslmode is one of {}", SSL_MODES.join(", ")));
    }
    for key in ["sslrootcert", "sslcert", "sslkey"] {
        if let Some(path) = given.get(key)
            && let Err(error) = fs::File::open(path)
        {
            return Err(format!("{key}: cannot read {path}: {error}"));
        }
    }
    Ok(())
}

/// Takes the hosts with their ports. Those of the query count more than those before the path.
fn places(authority: &str, given: &mut Parameters) -> Result<Vec<Place>, String> {
    let mut places = Vec::new();
    for part in authority.split(',') {
        let (host, port) = match part.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
            None => part.split_once(':').unwrap_or((part, "")),
        };
        if host.contains(':') && !part.starts_with('[') || port.contains(':') {
            return Err("an address with colons stands in brackets, as in `[::1]:5432`".into());
        }
        let host = (!host.is_empty()).then(|| decoded("host", host));
        places.push((host.transpose()?, self::port(port)?));
    }
    let names = given.remove("hostaddr").or_else(|| given.remove("host"));
    given.remove("host");
    if let Some(names) = names {
        let ports = places.iter().map(|(_, port)| *port).collect::<Vec<_>>();
        let names: Vec<_> = names.split(',').map(String::from).collect();
        let each = spread(names.len(), &ports).unwrap_or_else(|| vec![None; names.len()]);
        places = names.into_iter().map(Some).zip(each).collect();
    }
    if let Some(ports) = given.remove("port") {
        let ports = ports.split(',').map(port).collect::<Result<Vec<_>, _>>()?;
        let each = spread(places.len(), &ports).ok_or_else(|| {
            let (hosts, ports) = (places.len(), ports.len());
            format!("{ports} ports are given for {hosts} hosts: give one, or one for each")
        })?;
        places = places.into_iter().map(|(host, _)| host).zip(each).collect();
    }
    let several = places.len() > 1;
    if several
        && places
            .iter()
            .any(|(host, _)| host.as_deref().is_none_or(str::is_empty))
    {
        return Err("one of the hosts has no name".into());
    }
    Ok(places)
}

/// One port is that of all hosts.
fn spread(hosts: usize, ports: &[Option<u16>]) -> Option<Vec<Option<u16>>> {
    match ports {
        [port] => Some(vec![*port; hosts]),
        ports => (ports.len() == hosts).then(|| ports.to_vec()),
    }
}

fn port(text: &str) -> Result<Option<u16>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(port @ 1..) => Ok(Some(port)),
        _ => Err("a port is a number from 1 to 65535".into()),
    }
}

/// The driver reads the rest, with the variables and the file of passwords that libpq knows.
fn options(
    given: &Parameters,
    host: Option<&str>,
    port: Option<u16>,
) -> Result<PgConnectOptions, String> {
    let port = port.map(|port| port.to_string());
    let places = [("host", host), ("port", port.as_deref())];
    let places = places
        .iter()
        .filter_map(|(key, text)| Some((*key, (*text)?)));
    let all = given.iter().map(|(key, text)| (*key, text.as_str()));
    let query: Vec<_> = all
        .chain(places)
        .map(|(key, text)| format!("{key}={}", utf8_percent_encode(text, NON_ALPHANUMERIC)))
        .collect();
    let url = format!("postgres:///?{}", query.join("&"));
    url.parse().map_err(|_| "it cannot be understood".into())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("postgres://me@h/x", "postgres://me@h:5432/x")]
    #[case("postgres://me:p%40ss%2Fw%23@h/x", "postgres://me@h:5432/x")]
    #[case("postgres://me:p@ss@h/x", "postgres://me@h:5432/x")]
    #[case("postgresql://me@a:1,b:2/x", "postgres://me@a:1,b:2/x")]
    #[case("postgres://me@a,b:2/x", "postgres://me@a:5432,b:2/x")]
    #[case("postgres://me@/x?host=a,b&port=1,2", "postgres://me@a:1,b:2/x")]
    #[case("postgres:///x?user=me&host=a,b&port=7", "postgres://me@a:7,b:7/x")]
    #[case(
        "postgres://me@[::1]:7,[fe80::1%25eth0]/x",
        "postgres://me@[::1]:7,[fe80::1%eth0]:5432/x"
    )]
    #[case("postgres://me@/x?host=::1", "postgres://me@[::1]:5432/x")]
    #[case(
        "postgres://me@%2Frun%2Fpg/x",
        "postgres://me@/x?host=/run/pg&port=5432"
    )]
    #[case(
        "postgres://me@h:7/x?host=/run/pg",
        "postgres://me@/x?host=/run/pg&port=7"
    )]
    #[case(
        "postgres://me@/x?host=/run/pg,b&port=1,2",
        "postgres://me@/x?host=/run/pg,b&port=1,2"
    )]
    #[case("postgres://me@h", "postgres://me@h:5432/me")]
    #[case(
        "postgres://me@h/?sslmode=require&application_name=a%20b",
        "postgres://me@h:5432/me"
    )]
    #[case(
        "postgres://me@h/x?target_session_attrs=primary",
        "postgres://me@h:5432/x"
    )]
    #[case("postgres://me@h/x?hostaddr=10.0.0.1", "postgres://me@10.0.0.1:5432/x")]
    fn a_url_is_read_as_libpq_reads_it(#[case] url: &str, #[case] shown: &str) {
        match Address::parse(url) {
            Ok(address) => assert_eq!(address.shown(), shown, "{url}"),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    #[rstest]
    #[case("postgres:me@h/x", "`//` is missing")]
    #[case(
        "postgres://me@h/x?targetsessionattrs=any",
        "is `target_session_attrs` meant?"
    )]
    #[case(
        "postgres://me@h/x?pgbouncer=true",
        "`pgbouncer` is not known: known are application_name"
    )]
    #[case("postgres://me@h/x?SSLMODE=require", "is `sslmode` meant?")]
    #[case("postgres://me@h/x?sslmode=full", "sslmode is one of disable, allow,")]
    #[case(
        "postgres://me@h/x?sslrootcert=/nowhere/ca.pem",
        "sslrootcert: cannot read /nowhere/ca.pem"
    )]
    #[case(
        "postgres://me@a,b/x?target_session_attrs=standby",
        "target_session_attrs=standby asks for"
    )]
    #[case(
        "postgres://me@a,b/x?target_session_attrs=prefer-standby",
        "=prefer-standby asks for"
    )]
    #[case(
        "postgres://me@a,b/x?target_session_attrs=read-only",
        "=read-only asks for"
    )]
    #[case(
        "postgres://me@a,b/x?target_session_attrs=yes",
        "is `read-write`, `primary` or `any`"
    )]
    #[case("postgres://me@a:0/x", "a port is a number from 1 to 65535")]
    #[case("postgres://me@a:hidden/x", "a port is a number from 1 to 65535")]
    #[case("postgres://me@::1/x", "in brackets")]
    #[case("postgres://me@a,b,c/x?port=1,2", "2 ports are given for 3 hosts")]
    #[case("postgres://me@a,,c/x", "one of the hosts has no name")]
    #[case("postgres://me@a/x?connect_timeout=0", "from 1 to 10")]
    #[case("postgres://me:%FF@a/x", "password is no text")]
    fn what_is_wrong_with_a_url_is_said(#[case] url: &str, #[case] told: &str) {
        match Address::parse(url) {
            Ok(address) => panic!("{url} was taken as {}", address.shown()),
            Err(error) => assert!(error.contains(told), "{url}: {error}"),
        }
    }

    #[test]
    fn each_host_has_its_own_password_from_the_file_and_its_own_wait() {
        let address = Address::parse("postgres://me@a:1,b:2/x?connect_timeout=2");
        let address = address.expect("valid");
        assert_eq!(address.wait, Duration::from_secs(2));
        assert_eq!(address.hosts.len(), 2);
        assert!(!address.any && !address.is_unnamed);
    }
}
