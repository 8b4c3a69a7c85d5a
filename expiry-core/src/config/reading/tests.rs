use std::time::Duration;

use super::*;
use crate::config::{Field, Key};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Oven {
    wait: Duration,
    limit: Duration,
    trays: u32,
    name: Option<String>,
}

impl Default for Oven {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(1),
            limit: Duration::from_secs(10),
            trays: 2,
            name: None,
        }
    }
}

impl Section for Oven {
    const NAME: &'static str = "oven";
    const KEYS: &'static [Key<Self>] = &[
        Key::duration("wait", Duration::from_millis(1), |oven| &mut oven.wait),
        Key::duration("limit", Duration::from_millis(1), |oven| &mut oven.limit),
        Key::count("trays", (1, 9), |oven: &mut Self| &mut oven.trays).also(&["TRAYS"]),
        Key::new("name", Field::Text(|oven: &mut Self| &mut oven.name)).secret(),
    ];

    fn contradictions(&self) -> Vec<Contradiction> {
        let wrong = self.wait > self.limit;
        let contradiction = Contradiction {
            keys: &["wait", "limit"],
            rule: "nobody waits beyond the limit",
        };
        wrong.then_some(contradiction).into_iter().collect()
    }
}

fn load(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
) -> (Oven, Vec<Setting>, Vec<String>) {
    let variables = variables.iter().map(|(n, v)| (n.into(), v.into()));
    let flags = flags.iter().map(|(key, flag, v)| (*key, *flag, v.into()));
    let mut loader = Loader::new(Sources {
        file: Some(("/e.toml".into(), file.into())),
        variables: variables.collect(),
        credentials: Vec::new(),
        flags: flags.collect(),
    });
    let oven = loader.section();
    let (settings, faults) = loader.finish();
    let faults = faults.iter().map(ToString::to_string).collect();
    (oven, settings, faults)
}

fn faults(file: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let (.., faults) = load(file, variables, &[]);
    faults
}

#[test]
fn a_flag_is_stronger_than_a_variable_than_the_file_than_the_default() {
    let file = "[oven]\ntrays = 3\n";
    let variables = [("TRAYS", "4"), ("EXPIRY_OVEN_TRAYS", "5")];
    let flags = [("oven.trays", "--trays", "6")];
    for (file, variables, flags, trays, from) in [
        (file, &variables[..], &flags[..], 6, "--trays"),
        (file, &variables, &[], 5, "EXPIRY_OVEN_TRAYS"),
        (file, &variables[..1], &[], 4, "TRAYS"),
        (file, &[], &[], 3, "/e.toml:2:9"),
        ("", &[], &[], 2, "default"),
        ("", &[("EXPIRY_OVEN_TRAYS", "")], &[], 2, "default"),
    ] {
        let (oven, settings, faults) = load(file, variables, flags);
        assert_eq!(faults, [""; 0]);
        assert_eq!(oven.trays, trays);
        let trays = settings.iter().find(|s| s.key == "oven.trays");
        assert_eq!(trays.expect("a setting").from.to_string(), from);
    }
}

#[test]
fn all_faults_are_found_at_once_each_with_its_place_and_the_nearest_right_one() {
    let file = "tray = 1\n\n[oven]\nwiat = \"1s\"\nlimit = 10\n\n[owen]\nx = 1\ny = 2\n";
    let variables = [("EXPIRY_OVEN_TRAY", "1"), ("EXPIRY_OVEN_WAIT", "soon")];
    let expected = [
        "/e.toml:1:8: there is no key `tray`: did you mean `oven.trays`?",
        "/e.toml:4:8: there is no key `oven.wiat`: did you mean `oven.wait`?",
        "/e.toml:5:9: oven.limit: 10 has no unit: did you mean \"10s\"?",
        "/e.toml:7:2: there is no section `owen`: did you mean `oven`?",
        "EXPIRY_OVEN_TRAY: there is no such setting: did you mean `EXPIRY_OVEN_TRAYS`?",
        "EXPIRY_OVEN_WAIT: oven.wait: `soon` is not a time such as \"30s\", \"5m\" or \"500ms\"",
    ];
    assert_eq!(faults(file, &variables), expected);
}

#[test]
fn a_variable_is_compared_without_what_all_begin_with() {
    let wrong = |name| faults("", &[(name, "1")]).join("\n");
    let known = ": there is no such setting: known are ";
    assert!(wrong("EXPIRY_COLOUR").contains(known));
    assert!(wrong("EXPIRY_OVEN_COLOUR").contains(known));
    for name in ["EXPIRY_TRAYS", "EXPIRY_OVEN_TRYAS"] {
        let wrong = wrong(name);
        assert!(
            wrong.ends_with("did you mean `EXPIRY_OVEN_TRAYS`?"),
            "{wrong}"
        );
    }
}

#[test]
fn a_file_that_is_no_toml_is_read_as_far_as_it_goes() {
    let faults = faults("[oven]\nwait = \nlimit = \"2s\nfoo = 1\n", &[]);
    assert!(faults[0].starts_with("/e.toml:2:8: "), "{faults:?}");
    assert!(faults[1].starts_with("/e.toml:3:"), "{faults:?}");
    let unknown = "/e.toml:4:7: there is no key `oven.foo`";
    assert!(faults[2].starts_with(unknown), "{faults:?}");
}

#[test]
fn a_file_in_another_encoding_is_named_with_the_place() {
    let mut loader = Loader::new(Sources {
        file: Some(("/e.toml".into(), b"[oven]\n# caf\xe9\n".to_vec())),
        ..Sources::default()
    });
    loader.section::<Oven>();
    let (_, faults) = loader.finish();
    assert_eq!(
        faults[0].to_string(),
        "/e.toml:2:6: the file is not UTF-8 text"
    );
    assert_eq!(faults.len(), 1);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let faults = faults("[oven]\ntrays = 1\ntrays = 2\n", &[]);
    assert!(
        faults[0].starts_with("/e.toml:3:1: duplicate key"),
        "{faults:?}"
    );
}

#[test]
fn sections_and_keys_are_not_mixed_up() {
    let wrong = faults("oven = 3\n", &[]);
    assert_eq!(
        wrong,
        ["/e.toml:1:8: `oven` is a section: write `[oven]`, and its keys below"]
    );
    let wrong = faults("[oven.trays]\nx = 1\n", &[]);
    assert_eq!(
        wrong,
        ["/e.toml:1:7: `oven.trays` is a key with a value, not a section"]
    );
}

#[test]
fn values_that_cannot_be_true_together_are_blamed_on_the_strongest_place() {
    let wrong = faults("[oven]\nlimit = \"5s\"\n", &[("EXPIRY_OVEN_WAIT", "6s")]);
    assert_eq!(
        wrong,
        [
            "EXPIRY_OVEN_WAIT: oven.wait is \"6s\" and oven.limit is \"5s\", but nobody waits beyond \
          the limit"
        ]
    );
}

#[test]
fn a_wrong_value_is_a_fault_even_where_a_stronger_place_overrides_it() {
    let wrong = faults("[oven]\ntrays = 0\n", &[("EXPIRY_OVEN_TRAYS", "3")]);
    assert_eq!(
        wrong,
        ["/e.toml:2:9: oven.trays: it must be a whole number from 1 to 9, not 0"]
    );
}

#[test]
fn r11_a_secret_is_not_shown() {
    let (oven, settings, _) = load("[oven]\nname = \"hush\"\n", &[], &[]);
    assert_eq!(oven.name.as_deref(), Some("hush"));
    assert!(!format!("{settings:?}").contains("hush"));
    let wrong = faults("[oven]\nname = \"hush\n", &[]);
    assert!(!wrong[0].contains("hush"), "{wrong:?}");
}

fn beside_http(file: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let variables = variables.iter().map(|(n, v)| (n.into(), v.into()));
    let mut loader = Loader::new(Sources {
        file: Some(("/e.toml".into(), file.into())),
        variables: variables.collect(),
        ..Sources::default()
    });
    loader.leave("http", &["listen", "token"], &["EXPIRY_LISTEN"]);
    loader.section::<Oven>();
    let (_, faults) = loader.finish();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn what_belongs_to_another_program_is_left_to_it() {
    let variables = [("EXPIRY_HTTP_TOKEN", "1"), ("EXPIRY_LISTEN", "1")];
    assert_eq!(beside_http("[http]\nlisten = 1\n", &variables), [""; 0]);
}

#[test]
fn what_no_program_knows_is_refused_in_the_sections_of_others_too() {
    let file = "[http]\nlitsen = 1\n[http.x]\ny = 1\n";
    let expected = [
        "/e.toml:2:10: there is no key `http.litsen`: did you mean `http.listen`?",
        "/e.toml:3:7: there is no section `http.x`: known are http, oven",
        "EXPIRY_HTTP_TOKN: there is no such setting: did you mean `EXPIRY_HTTP_TOKEN`?",
    ];
    assert_eq!(beside_http(file, &[("EXPIRY_HTTP_TOKN", "1")]), expected);
}

#[test]
fn a_key_in_the_wrong_section_is_told_where_it_belongs() {
    let file = "listen = 1\n[http]\nlisten = 1\ntrays = 3\n[oven]\ntoken = 1\n";
    let expected = [
        "/e.toml:1:10: `listen` belongs under [http], not before all sections",
        "/e.toml:4:9: `trays` belongs under [oven], not under [http]",
        "/e.toml:6:9: `token` belongs under [http], not under [oven]",
    ];
    assert_eq!(beside_http(file, &[]), expected);
}
