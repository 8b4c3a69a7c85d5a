//! What the simulated router says on the wire.

use std::time::Duration;

use expiry_core::MacAddr;
use expiry_mikrotik::{
    sim::{ClientConfig, ConnId, Fault, FaultRule, Link, SimConfig, Simulator, StaleIdText, Trap},
    wire::{Decoder, Sentence, WireError},
};
use rstest::rstest;

fn config() -> SimConfig {
    SimConfig::new("api", "secret".into())
}

fn router() -> Simulator {
    Simulator::new(config())
}

fn words(words: &[&str]) -> Sentence {
    words.iter().fold(Sentence::default(), Sentence::word)
}

fn shown(sentence: &Sentence) -> String {
    let words: Vec<_> = sentence.words().map(String::from_utf8_lossy).collect();
    words.join(" ")
}

/// A client that reads and writes whole sentences.
struct Client {
    conn: ConnId,
    decoder: Decoder,
}

impl Client {
    fn connect(sim: &mut Simulator) -> Self {
        Self {
            conn: sim.connect().expect("the link is up"),
            decoder: Decoder::default(),
        }
    }

    fn logged_in(sim: &mut Simulator) -> Self {
        let mut client = Self::connect(sim);
        let login = words(&["/login", "=name=api", "=password=secret"]);
        assert_eq!(client.ask(sim, &login), ["!done"]);
        client
    }

    fn send(&self, sim: &mut Simulator, sentence: &Sentence) {
        let mut bytes = Vec::new();
        sentence.encode(&mut bytes);
        sim.receive(self.conn, &bytes);
    }

    fn read(&mut self, sim: &mut Simulator) -> Vec<String> {
        self.try_read(sim).expect("sentences")
    }

    fn try_read(&mut self, sim: &mut Simulator) -> Result<Vec<String>, WireError> {
        let bytes = sim.transmit(self.conn);
        let mut input = &bytes[..];
        let mut sentences = Vec::new();
        while let Some(sentence) = self.decoder.decode(&mut input)? {
            sentences.push(shown(&sentence));
        }
        Ok(sentences)
    }

    fn ask(&mut self, sim: &mut Simulator, sentence: &Sentence) -> Vec<String> {
        self.send(sim, sentence);
        self.read(sim)
    }
}

fn ask(sim: &mut Simulator, sentence: &[&str]) -> Vec<String> {
    Client::logged_in(sim).ask(sim, &words(sentence))
}

fn router_with_users(names: &[&str]) -> Simulator {
    let mut sim = router();
    for name in names {
        sim.add_user(name, "x").expect("names differ");
    }
    sim
}

#[rstest]
#[case("api", "wrong")]
#[case("admin", "secret")]
fn a_wrong_login_is_refused_and_may_be_repeated(#[case] name: &str, #[case] password: &str) {
    let mut sim = router();
    let mut client = Client::connect(&mut sim);
    let login = Sentence::new("/login")
        .attribute("name", name)
        .attribute("password", password);
    let refusal = ["!trap =message=invalid user name or password (6)", "!done"];
    assert_eq!(client.ask(&mut sim, &login), refusal);
    assert!(!sim.is_closing(client.conn));
    let login = words(&["/login", "=name=api", "=password=secret"]);
    assert_eq!(client.ask(&mut sim, &login), ["!done"]);
    assert_eq!((sim.stats().logins, sim.stats().refused_logins), (1, 1));
}

#[test]
fn a_right_password_is_refused_as_often_as_told() {
    let mut sim = router();
    sim.refuse_logins(2);
    let mut client = Client::connect(&mut sim);
    let login = words(&["/login", "=name=api", "=password=secret"]);
    let refused: Vec<_> = (0..3)
        .map(|_| client.ask(&mut sim, &login).len() == 2)
        .collect();
    assert_eq!(refused, [true, true, false]);
}

#[test]
fn a_group_without_the_api_policy_may_not_log_in() {
    let mut sim = router();
    sim.configure(|config| config.api_policy = false);
    let mut client = Client::connect(&mut sim);
    let login = words(&["/login", "=name=api", "=password=secret"]);
    let answer = client.ask(&mut sim, &login);
    assert_eq!(answer[0], "!trap =message=std failure: not allowed (9)");
}

#[test]
fn nothing_is_done_before_the_login() {
    let mut sim = router_with_users(&["alice"]);
    let mut client = Client::connect(&mut sim);
    let remove = words(&["/ip/hotspot/user/remove", "=numbers=alice"]);
    assert_eq!(client.ask(&mut sim, &remove), ["!fatal not logged in"]);
    assert!(sim.is_closing(client.conn));
    assert_eq!(sim.users().len(), 1);
}

#[test]
fn what_a_client_sent_without_a_login_is_not_done_after_it_left() {
    let mut sim = Simulator::new(SimConfig {
        delay: Duration::from_millis(1),
        ..config()
    });
    sim.add_user("alice", "x").expect("the first");
    let client = Client::connect(&mut sim);
    let remove = words(&["/ip/hotspot/user/remove", "=numbers=alice"]);
    client.send(&mut sim, &remove);
    sim.close(client.conn);
    sim.advance(Duration::from_secs(1));
    assert_eq!(sim.users().len(), 1);
}

#[test]
fn what_a_client_sent_is_done_even_if_it_leaves() {
    let mut sim = Simulator::new(SimConfig {
        delay: Duration::from_millis(1),
        ..config()
    });
    sim.add_user("alice", "x").expect("the first");
    let client = Client::connect(&mut sim);
    client.send(
        &mut sim,
        &words(&["/login", "=name=api", "=password=secret"]),
    );
    let remove = words(&["/ip/hotspot/user/remove", "=numbers=alice"]);
    client.send(&mut sim, &remove);
    sim.close(client.conn);
    sim.advance(Duration::from_secs(1));
    assert!(sim.users().is_empty());
}

#[test]
fn quit_ends_with_a_bare_reason() {
    let mut sim = router();
    let mut client = Client::logged_in(&mut sim);
    let answer = client.ask(&mut sim, &words(&["/quit"]));
    assert_eq!(answer, ["!fatal session terminated on request"]);
    assert!(sim.is_closing(client.conn));
}

#[rstest]
#[case(&["/ip/hotspot/user/remove"])]
#[case(&["/ip/hotspot/user/remove", "=.id="])]
#[case(&["/ip/hotspot/user/remove", "=numbers="])]
#[case(&["/ip/hotspot/user/remove", "?name=alice"])]
#[case(&["/ip/hotspot/user/remove", "?.id=*1"])]
#[case(&["/ip/hotspot/active/remove", "?user=alice"])]
fn a_remove_without_an_id_says_done_and_does_nothing(#[case] remove: &[&str]) {
    let mut sim = router();
    sim.add_client(ClientConfig::new("alice", MacAddr::new([2, 0, 0, 0, 0, 1])));
    assert_eq!(ask(&mut sim, remove), ["!done"]);
    assert_eq!(sim.users().len(), 1);
    assert_eq!(sim.table("/ip/hotspot/active").len(), 1);
}

#[rstest]
#[case(StaleIdText::Plain, "no such item")]
#[case(StaleIdText::Numbered, "no such item (4)")]
fn a_stale_id_is_refused(#[case] stale_id: StaleIdText, #[case] text: &str) {
    let mut sim = Simulator::new(SimConfig {
        stale_id,
        ..config()
    });
    for command in ["user/remove", "user/set", "active/remove", "host/remove"] {
        let answer = ask(&mut sim, &[&format!("/ip/hotspot/{command}"), "=.id=*BAD1"]);
        assert_eq!(
            answer,
            [format!("!trap =category=0 =message={text}"), "!done".into()]
        );
    }
}

#[rstest]
#[case(&["/ppp/secrets/print"], "no such command prefix")]
#[case(&["/ip/hotspot/user/explode"], "no such command prefix")]
#[case(&["nonsense"], "no such command prefix")]
#[case(&["/ip/hotspot/host/set", "=.id=*1"], "no such command prefix")]
#[case(&["/ip/hotspot/active/set", "=.id=*1", "=user=x"], "unknown parameter user")]
#[case(&["/ip/hotspot/user/set", "=.id=*1", "=colour=red"], "unknown parameter colour")]
#[case(&["/ip/hotspot/user/remove", "=.id=[find name=alice]"], "unknown parameter [find name=alice]")]
#[case(&["/ip/hotspot/user/set", "=disabled=yes"], "missing =.id=")]
#[case(&["/ip/hotspot/user/set", "=.id=*1", "=disabled=maybe"], "invalid value for argument disabled")]
#[case(&["/ip/hotspot/user/add", "=name=alice"], "failure: already have user with this name for this server")]
#[case(&["/ip/hotspot/ip-binding/add", "=mac-address=xyz"], "invalid value for argument mac-address")]
fn what_makes_no_sense_is_refused(#[case] command: &[&str], #[case] message: &str) {
    let mut sim = router_with_users(&["alice"]);
    let answer = ask(&mut sim, command);
    assert!(answer[0].starts_with("!trap "), "{answer:?}");
    assert!(
        answer[0].ends_with(&format!("=message={message}")),
        "{answer:?}"
    );
    assert_eq!(answer[1..], ["!done"]);
    assert_eq!(sim.users().len(), 1);
    assert!(!sim.users()[0].disabled);
}

#[test]
fn without_the_write_policy_only_reading_is_allowed() {
    let mut sim = router_with_users(&["alice"]);
    sim.configure(|config| config.write_policy = false);
    let answer = ask(&mut sim, &["/ip/hotspot/user/disable", "=.id=*1"]);
    assert_eq!(answer[0], "!trap =message=not enough permissions (9)");
    let answer = ask(&mut sim, &["/ip/hotspot/user/print", "=.proplist=name"]);
    assert_eq!(answer, ["!re =name=alice", "!done"]);
}

#[test]
fn rows_are_named_by_id_number_name_or_list() {
    let mut sim = router_with_users(&["a", "b", "c", "d"]);
    ask(&mut sim, &["/ip/hotspot/user/disable", "=.id=*1,*2"]);
    ask(
        &mut sim,
        &["/ip/hotspot/user/set", "=numbers=*3", "=disabled=yes"],
    );
    ask(&mut sim, &["/ip/hotspot/user/enable", "=numbers=b"]);
    let disabled: Vec<_> = sim.users().iter().map(|user| user.disabled).collect();
    assert_eq!(disabled, [true, false, true, false]);
}

#[rstest]
#[case(true, &["!empty", "!done"])]
#[case(false, &["!done"])]
fn a_print_without_rows_says_so_by_version(#[case] empty_reply: bool, #[case] expected: &[&str]) {
    let mut sim = Simulator::new(SimConfig {
        empty_reply,
        ..config()
    });
    assert_eq!(ask(&mut sim, &["/ip/hotspot/user/print"]), expected);
}

#[test]
fn a_print_shows_what_was_asked_of_the_rows_that_fit() {
    let mut sim = router_with_users(&["a", "b", "c"]);
    let asked = [
        "/ip/hotspot/user/print",
        "=.proplist=.id,name,email",
        "?name=a",
        "?name=c",
        "?#|",
    ];
    let expected = ["!re =.id=*1 =name=a", "!re =.id=*3 =name=c", "!done"];
    assert_eq!(ask(&mut sim, &asked), expected);
    let count = ["/ip/hotspot/user/getall", "=count-only=", "?-name", "?#!"];
    assert_eq!(ask(&mut sim, &count), ["!done =ret=3"]);
}

#[test]
fn false_flags_may_be_left_out() {
    let mut sim = router_with_users(&["a", "b"]);
    sim.set_user_disabled("b", true).expect("it exists");
    sim.configure(|config| config.omit_false_flags = true);
    let answer = ask(&mut sim, &["/ip/hotspot/user/print", "=.proplist=disabled"]);
    assert_eq!(answer, ["!re", "!re =disabled=true", "!done"]);
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_were() {
    let mut sim = router();
    let mut client = Client::logged_in(&mut sim);
    let add = Sentence::new("/ip/hotspot/user/add").attribute("name", b"caf\xE9 =\x00\xFF");
    client.send(&mut sim, &add);
    client.read(&mut sim);
    let print = Sentence::new("/ip/hotspot/user/print")
        .attribute(".proplist", "name")
        .query(b"name=caf\xE9 =\x00\xFF");
    client.send(&mut sim, &print);
    let bytes = sim.transmit(client.conn);
    let row = Decoder::default().decode(&mut &bytes[..]);
    let row = row.expect("well formed").expect("one row");
    assert_eq!(row.get("name"), Some(&b"caf\xE9 =\x00\xFF"[..]));
}

#[test]
fn answers_to_different_tags_mix_and_each_keeps_its_order() {
    let mut sim = router_with_users(&["a", "b", "c", "d", "e", "f"]);
    let mut client = Client::logged_in(&mut sim);
    let mut bytes = Vec::new();
    for tag in ["1", "2"] {
        let print = Sentence::new("/ip/hotspot/user/print").attribute(".proplist", "name");
        print.tag(tag).encode(&mut bytes);
    }
    // One byte at a time is as good as any other way.
    for byte in bytes {
        sim.receive(client.conn, &[byte]);
    }
    let answer = client.read(&mut sim);
    let tags: Vec<_> = answer.iter().map(|line| &line[line.len() - 6..]).collect();
    assert!(!tags.is_sorted(), "not mixed: {answer:?}");
    for tag in ["1", "2"] {
        let own: Vec<_> = answer
            .iter()
            .filter_map(|line| line.strip_suffix(&format!(" .tag={tag}")))
            .collect();
        let names = ["a", "b", "c", "d", "e", "f"].map(|name| format!("!re =name={name}"));
        assert_eq!(own[..6], names);
        assert_eq!(own[6..], ["!done"]);
    }
}

#[test]
fn an_empty_tag_is_not_echoed() {
    let mut sim = router();
    let print = ["/system/identity/print", ".tag="];
    assert_eq!(ask(&mut sim, &print), ["!re =name=MikroTik", "!done"]);
}

#[test]
fn a_slow_router_does_one_command_after_another_over_all_connections() {
    let mut sim = router();
    let mut clients = [Client::logged_in(&mut sim), Client::logged_in(&mut sim)];
    sim.configure(|config| config.delay = Duration::from_millis(2));
    for client in &clients {
        for tag in ["1", "2"] {
            let ping = words(&["/system/identity/print", "=.proplist="]).tag(tag);
            client.send(&mut sim, &ping);
        }
    }
    let mut answered = Vec::new();
    for millis in 1..=9 {
        sim.advance(Duration::from_millis(millis));
        for (who, client) in clients.iter_mut().enumerate() {
            let lines = client.read(&mut sim);
            answered.extend(
                lines
                    .iter()
                    .any(|line| line.contains("!done"))
                    .then_some((millis, who)),
            );
        }
    }
    assert_eq!(answered, [(2, 0), (4, 0), (6, 1), (8, 1)]);
}

#[test]
fn a_waiting_command_can_be_cancelled() {
    let mut sim = router_with_users(&["alice"]);
    let mut client = Client::logged_in(&mut sim);
    sim.configure(|config| config.delay = Duration::from_millis(2));
    client.send(
        &mut sim,
        &words(&["/ip/hotspot/user/remove", "=numbers=alice", ".tag=1"]),
    );
    let answer = client.ask(&mut sim, &words(&["/cancel", "=tag=1", ".tag=2"]));
    let expected = [
        "!trap =category=2 =message=interrupted .tag=1",
        "!done .tag=2",
        "!done .tag=1",
    ];
    assert_eq!(answer, expected);
    sim.advance(Duration::from_secs(1));
    assert_eq!(sim.users().len(), 1);
}

#[test]
fn sessions_beyond_the_limit_are_closed_without_a_byte() {
    let mut sim = Simulator::new(SimConfig {
        max_sessions: 1,
        ..config()
    });
    let first = Client::logged_in(&mut sim);
    let second = Client::connect(&mut sim);
    assert!(sim.is_closing(second.conn));
    assert!(sim.transmit(second.conn).is_empty());
    assert!(!sim.is_closing(first.conn));
    sim.close(first.conn);
    sim.close(second.conn);
    Client::logged_in(&mut sim);
}

#[test]
fn a_client_that_does_not_speak_the_protocol_is_thrown_out() {
    let mut sim = router();
    let client = Client::connect(&mut sim);
    sim.receive(client.conn, b"\xFF");
    assert!(sim.is_closing(client.conn));
}

#[test]
fn links_fail_in_different_ways() {
    let mut sim = router();
    let mut old = Client::logged_in(&mut sim);
    let ping = words(&["/system/identity/print"]);

    sim.set_link(Link::Filtered);
    let filtered = Client::connect(&mut sim);
    assert!(sim.is_closing(filtered.conn));
    assert_eq!(old.ask(&mut sim, &ping).len(), 2);

    sim.set_link(Link::BlackHole);
    let mut swallowed = Client::connect(&mut sim);
    for client in [&mut old, &mut swallowed] {
        assert_eq!(client.ask(&mut sim, &ping).len(), 0);
        assert!(!sim.is_closing(client.conn));
    }

    sim.set_link(Link::Refused);
    assert_eq!(sim.connect(), None);
    assert!(sim.is_closing(old.conn));

    sim.set_link(Link::Up);
    Client::logged_in(&mut sim);
}

/// What a client sees of a struck `disable`: complete sentences, whether it is closed, and
/// whether the account is disabled.
#[rstest]
#[case(Fault::LoseAnswer, 0, true, true)]
#[case(Fault::Close, 0, true, false)]
#[case(Fault::CutAnswer, 0, true, true)]
#[case(Fault::HalfOpen, 0, false, true)]
#[case(Fault::Silence, 0, false, false)]
#[case(Fault::Refuse(Trap::new("no")), 2, false, false)]
#[case(Fault::RefuseTwice(Trap::new("no")), 3, false, false)]
#[case(Fault::Fatal, 1, true, false)]
fn faults_strike_as_told(
    #[case] fault: Fault,
    #[case] sentences: usize,
    #[case] closed: bool,
    #[case] done: bool,
) {
    let mut sim = router_with_users(&["alice"]);
    let mut client = Client::logged_in(&mut sim);
    sim.inject(FaultRule::on("/ip/hotspot/user/disable", fault).once());
    let before = client.ask(&mut sim, &words(&["/ip/hotspot/user/print"]));
    assert_eq!(before.len(), 2, "another command is spared");
    let disable = words(&["/ip/hotspot/user/disable", "=numbers=alice", ".tag=1"]);
    assert_eq!(client.ask(&mut sim, &disable).len(), sentences);
    assert_eq!(sim.is_closing(client.conn), closed);
    assert_eq!(sim.users()[0].disabled, done);
    // Once was enough.
    let mut again = Client::logged_in(&mut sim);
    assert_eq!(again.ask(&mut sim, &disable), ["!done .tag=1"]);
}

#[test]
fn a_huge_word_is_announced() {
    let mut sim = router();
    let mut client = Client::logged_in(&mut sim);
    sim.inject(FaultRule::on("", Fault::HugeWord).after(1).once());
    let ping = words(&["/system/identity/print"]);
    assert_eq!(client.ask(&mut sim, &ping).len(), 2);
    client.send(&mut sim, &ping);
    assert!(matches!(
        client.try_read(&mut sim),
        Err(WireError::WordTooLong {
            promised: u32::MAX,
            ..
        })
    ));
}

#[test]
fn a_stall_delays_all_that_follows() {
    let mut sim = router();
    let mut client = Client::logged_in(&mut sim);
    let ping = words(&["/system/identity/print"]);
    sim.inject(FaultRule::on(
        "/system/identity",
        Fault::Stall(Duration::from_secs(30)),
    ));
    assert_eq!(client.ask(&mut sim, &ping).len(), 0);
    sim.advance(Duration::from_secs(29));
    assert_eq!(client.read(&mut sim).len(), 0);
    sim.advance(Duration::from_secs(30));
    assert_eq!(client.read(&mut sim).len(), 2);
}

#[test]
fn a_reboot_resets_api_connections() {
    let mut sim = router();
    let client = Client::logged_in(&mut sim);
    sim.reboot();
    assert!(sim.is_closing(client.conn));
}

#[test]
fn commands_are_counted_and_the_connection_table_apart() {
    let mut sim = router();
    let mut client = Client::logged_in(&mut sim);
    sim.table("/ip/hotspot/user");
    for path in [
        "/ip/hotspot/user",
        "/ip/hotspot/user",
        "/ip/firewall/connection",
    ] {
        client.ask(&mut sim, &words(&[&format!("{path}/print")]));
    }
    let stats = sim.take_stats();
    assert_eq!(stats.commands["/ip/hotspot/user/print"], 2);
    assert_eq!(stats.commands_in_all(), 2);
    assert_eq!(stats.connection_prints(), 1);
    assert_eq!((stats.connects, stats.logins), (1, 1));
    assert!(stats.bytes_in > 0 && stats.bytes_out > stats.connection_table_bytes);
    assert_eq!(sim.stats().commands_in_all(), 0);
}
