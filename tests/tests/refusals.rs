//! What is refused is refused with a code, an exit status that scripts can rely on, and a next step.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what a test looks for and does not find fails it"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use bore_tests::bore::{Agent, Finished, Relay, bore};
use bore_tests::lab::{Lab, RELAY};
use bore_tests::namespace::must_run;
use bore_tests::service::Service;
use bore_tests::wait::{SOON, until};

#[test]
fn a_state_folder_is_named_from_where_the_command_runs() {
    let lab = Lab::new();
    let home = lab.folder("relay");
    let init =
        ["relay", "init", "--host", "127.0.0.1", "--config", "r.toml", "--relay-state", "state"];
    Finished::of(bore(&lab.relay, &home, &init)).success();
    assert!(home.join("state/bore.db").exists());
}

#[test]
fn join_keys_that_are_none_or_mistyped_are_told_apart_with_nothing_sent() {
    let lab = Lab::new();
    let relay = Relay::init(&lab, &[]);
    let agent = Agent::new(&lab, &lab.agent, "laptop");
    // The relay does not run: whoever asks it gets no answer.
    let none = agent.bore(&["join", "--key", "bore_api_0123456789"]).refused("B3101", 3);
    assert!(none.next.contains("bore_join_"), "{none:?}");

    let mistyped = exchange_two_letters(relay.join_key());
    let refusal = agent.bore(&["join", "--key", &mistyped]).refused("B3102", 3);
    assert!(!refusal.text().contains(&mistyped[40..60]), "a key is not repeated: {refusal:?}");
    let cut = &relay.join_key()[..relay.join_key().len() - 5];
    agent.bore(&["join", "--key", cut]).refused("B3102", 3);
}

#[test]
fn a_join_key_works_once_and_then_says_that_it_is_spent() {
    let scene = Scene::new();
    let second = scene.machine("second");
    second.bore(&["join", "--key", scene.relay.join_key()]).refused("B3105", 3);
    assert!(
        !second.state().join("identity.json").exists() || second.bore(&["status"]).code != Some(0)
    );
}

#[test]
fn a_revoked_join_key_says_so() {
    let scene = Scene::new();
    let made = scene.relay.create_key(&[]);
    scene.relay.bore(&["key", "revoke", made["item"]["id"].as_str().unwrap()]).success();
    let key = made["key"].as_str().unwrap();
    scene.machine("second").bore(&["join", "--key", key]).refused("B3106", 3);
}

#[test]
fn an_expired_join_key_says_so() {
    let scene = Scene::new();
    let made = scene.relay.create_key(&["--expires", "1s"]);
    let expires = made["item"]["expires_at"].as_i64().unwrap();
    until("the key to expire", SOON, || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        (i64::try_from(now).unwrap() > expires).then_some(())
    });
    let key = made["key"].as_str().unwrap();
    scene.machine("second").bore(&["join", "--key", key]).refused("B3104", 3);
}

#[test]
fn an_unreachable_relay_is_named_with_what_was_tried() {
    let lab = Lab::new();
    let relay = Relay::init(&lab, &[]);
    let agent = Agent::new(&lab, &lab.agent, "laptop");
    let key = lab.file("key", relay.join_key()).display().to_string();
    let refusal = agent.bore(&["join", "--key-file", &key, "--timeout", "2s"]).refused("B5101", 5);
    assert!(refusal.text().contains(&RELAY.to_string()), "{refusal:?}");
}

#[test]
fn a_port_of_another_publication_is_taken_and_its_holder_named() {
    let scene = Scene::new();
    let _held = scene.agent.publish(&["tcp", "7000", "--name", "valheim"]);
    let refusal =
        scene.agent.bore(&["publish", "tcp", "7001", "--port", "7000"]).refused("B2104", 6);
    assert!(
        refusal.message.contains("valheim") && refusal.next.contains("--port 0"),
        "{refusal:?}"
    );
    let other = scene.joined("second");
    let refusal = other.bore(&["publish", "tcp", "7000"]).refused("B2104", 6);
    assert!(refusal.message.contains("valheim"), "{refusal:?}");
    assert_ne!(other.publish(&["tcp", "7000", "--port", "0"]).port(), 7000);
}

#[test]
fn a_port_of_another_program_is_taken() {
    let scene = Scene::new();
    let _program = Service::tcp_echo(&scene.lab.relay, 9000);
    let refusal = scene.agent.bore(&["publish", "tcp", "9000"]).refused("B2105", 6);
    assert!(refusal.message.contains("9000"), "{refusal:?}");
    let _udp = scene.agent.publish(&["udp", "9000"]);
}

#[test]
fn names_of_others_are_taken_and_no_label_is_no_name() {
    let scene = Scene::new();
    let _held = scene.agent.publish(&["http", "3000", "--name", "app"]);
    let other = scene.joined("second");
    let refusal = other.bore(&["publish", "http", "3000", "--name", "app"]).refused("B2102", 6);
    assert!(refusal.message.contains("app"), "{refusal:?}");
    other.bore(&["publish", "http", "3000", "--name", "mine", "--host", "app"]).refused("B2103", 6);
    other
        .bore(&["publish", "http", "3000", "--name", "mine", "--host", "app.example.org"])
        .refused("B2106", 2);
    for wrong in ["Foo", "foo_bar", "-foo", "foo.bar", ""] {
        let finished = other.bore(&["publish", "http", "3000", &format!("--name={wrong}")]);
        assert_eq!(finished.code, Some(2), "{wrong}: {finished:?}");
    }
}

#[test]
fn a_dead_target_fails_only_where_a_proof_is_demanded() {
    let scene = Scene::new();
    scene.agent.bore(&["publish", "tcp", "7000", "--wait"]).refused("B7101", 7);
    let published = scene.agent.publish(&["tcp", "7000"]);
    assert_eq!(published.published()["state"], "down");
    published.take_back();
}

#[test]
fn a_policy_that_forbids_names_itself_and_its_rule() {
    let scene = Scene::new();
    let rules = "name = \"office\"\n[[publish]]\nname = \"no-low-ports\"\neffect = \"deny\"\nwho = [\"any\"]\nports = [\"1-1023\"]\n";
    let file = scene.lab.file("office.toml", rules).display().to_string();
    scene.relay.bore(&["policy", "apply", &file]).success();
    let refusal = scene.agent.bore(&["publish", "tcp", "22"]).refused("B4101", 4);
    assert!(
        refusal.text().contains("office") && refusal.text().contains("no-low-ports"),
        "{refusal:?}"
    );
    scene.agent.publish(&["tcp", "22", "--port", "2222"]).take_back();
}

#[test]
fn a_policy_with_mistakes_lists_them_all_and_changes_nothing() {
    let scene = Scene::new();
    let rules = "name = \"office\"\n[[visit]]\nname = \"a\"\neffect = \"allow\"\nfrom = [\"group:nobody\"]\nto = [\"any\"]\n[[visit]]\nname = \"a\"\neffect = \"deny\"\nfrom = [\"any\"]\nto = [\"any\"]\n";
    let file = scene.lab.file("office.toml", rules).display().to_string();
    let refusal = scene.relay.bore(&["policy", "apply", &file]).refused("B4102", 2);
    assert!(
        refusal.text().contains("nobody") && refusal.text().contains("two rules are called"),
        "{refusal:?}"
    );
    assert!(scene.relay.list("policies").is_empty());
}

#[test]
fn networks_that_are_none_are_refused_with_what_to_write() {
    let scene = Scene::new();
    for (wrong, right) in [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("10.0.0.0/33", "32"),
        ("nonsense", "group:NAME"),
        ("2001:db8::1/32", "2001:db8::/32"),
    ] {
        let finished = scene.agent.bore(&["publish", "udp", "7777", "--allow", wrong]);
        assert_eq!(finished.code, Some(2), "{wrong}: {finished:?}");
        assert!(finished.stderr.contains(right), "{wrong}: {finished:?}");
    }
    assert!(scene.relay.list("publications").is_empty());
}

#[test]
fn unknown_keys_of_a_configuration_are_errors_with_a_suggestion() {
    let lab = Lab::new();
    let relay = Relay::init(&lab, &[]);
    let text = fs::read_to_string(relay.config()).unwrap();
    fs::write(relay.config(), format!("{text}htp_listen = \"[::]:81\"\npublic_ports = \"9-1\"\n"))
        .unwrap();
    let refusal = run_relay(&relay).refused("B1003", 2);
    assert!(refusal.cause.contains("http_listen"), "{refusal:?}");
    assert!(refusal.cause.contains("public_ports"), "all mistakes at once: {refusal:?}");
}

#[test]
fn two_relays_never_share_a_state_folder() {
    let scene = Scene::new();
    let refusal = run_relay(&scene.relay).refused("B6104", 6);
    assert!(refusal.text().contains("state"), "{refusal:?}");
}

#[test]
fn two_agents_never_share_a_state_folder() {
    let scene = Scene::new();
    scene.agent.bore(&["join"]).refused("B6104", 6);
}

#[test]
fn a_state_folder_that_others_can_read_is_refused_with_the_command_that_helps() {
    let mut scene = Scene::new();
    scene.relay.stop();
    scene.agent.stop();
    for (state, run) in [
        (scene.relay.state(), &run_relay as &dyn Fn(&Relay) -> Finished),
        (scene.agent.state(), &|_: &Relay| scene.agent.bore(&["join"])),
    ] {
        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        let refusal = run(&scene.relay).refused("B6105", 4);
        assert!(refusal.text().contains(&format!("chmod 700 {}", state.display())), "{refusal:?}");
    }
}

#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    let lab = Lab::new();
    let relay = Relay::init(&lab, &[]);
    let database = relay.state().join("bore.db");
    for side in ["bore.db-wal", "bore.db-shm"] {
        // Whether they are there depends on how the last process ended.
        let _ = fs::remove_file(relay.state().join(side));
    }
    let mut bytes = fs::read(&database).unwrap();
    bytes[..2000].fill(0x5a);
    fs::write(&database, &bytes).unwrap();
    let refusal = run_relay(&relay).refused("B6102", 1);
    assert!(refusal.next.contains("restore"), "{refusal:?}");
    assert_eq!(fs::read(&database).unwrap(), bytes);
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let lab = Lab::new();
    let relay = Relay::init(&lab, &[]);
    let script = "import sqlite3, sys
base = sqlite3.connect(sys.argv[1])
base.execute(\"insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'future', 1, x'00', 0)\")
base.commit()";
    must_run(Command::new("python3").args(["-c", script]).arg(relay.state().join("bore.db")));
    let refusal = run_relay(&relay).refused("B6103", 9);
    assert!(refusal.text().contains("9999"), "{refusal:?}");
}

#[test]
fn a_relay_that_was_never_set_up_says_how_to() {
    let lab = Lab::new();
    let agent = Agent::new(&lab, &lab.relay, "empty");
    let finished = agent.bore(&["relay", "run", "--config", "/nonexistent/relay.toml"]);
    let refusal = finished.refused("B1013", 2);
    assert!(refusal.text().contains("relay init"), "{refusal:?}");
}

#[test]
fn commands_without_an_agent_say_how_to_get_one() {
    let lab = Lab::new();
    let agent = Agent::new(&lab, &lab.agent, "empty");
    assert!(
        agent.bore(&["publish", "http", "3000"]).refused("B1008", 2).next.contains("bore join")
    );
    assert!(agent.bore(&["ls"]).refused("B1009", 2).next.contains("bore join"));
}

#[test]
fn what_is_to_stay_is_not_taken_along_by_what_is_not() {
    let scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    let stays = scene.agent.publish_in_background(&["tcp", "7000", "--port", "20022"]);
    let name = stays["name"].as_str().unwrap();
    let brief = ["publish", "tcp", "7000", "--port", "20023"];
    let named = [&brief[..], &["--name", name]].concat();
    for arguments in [&named[..], &brief, &["run", "--tcp", "7000", "--", "true"]] {
        let refusal = scene.agent.bore(arguments).refused("B2102", 6);
        assert!(refusal.text().contains(name), "{refusal:?}");
    }
    let kept = scene.relay.wait_for_state(name, "live");
    let (port, lifetime) = (&kept["public_port"], &kept["lifetime"]);
    assert_eq!((port.as_u64(), lifetime.as_str()), (Some(20022), Some("persistent")), "{kept}");
    scene.agent.bore(&["rm", name]).success();
}

/// A relay and an agent that runs.
struct Scene {
    agent: Agent,
    relay: Relay,
    lab: Lab,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        Self { agent, relay, lab }
    }

    /// Another machine that has not joined.
    fn machine(&self, name: &str) -> Agent {
        Agent::new(&self.lab, &self.lab.agent, name)
    }

    /// Another agent in the same network.
    fn joined(&self, name: &str) -> Agent {
        let key = self.relay.create_key(&[]);
        Agent::join_from(&self.lab, &self.lab.agent, name, key["key"].as_str().unwrap())
    }
}

fn run_relay(relay: &Relay) -> Finished {
    relay.bore(&["relay", "run", "--config", &relay.config().display().to_string()])
}

/// A typing mistake: two neighbours that differ change places.
fn exchange_two_letters(key: &str) -> String {
    let mut letters: Vec<char> = key.chars().collect();
    let place =
        (30..letters.len() - 1).find(|place| letters[*place] != letters[place + 1]).unwrap();
    letters.swap(place, place + 1);
    letters.into_iter().collect()
}
