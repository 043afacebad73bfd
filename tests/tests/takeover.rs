//! A name or port that another node has: it is taken only where a rule says so, and its loser gets it back.
#![expect(clippy::indexing_slicing, reason = "of JSON: what is not there is null")]

use bore_tests::bore::{Agent, Relay};
use bore_tests::lab::Lab;
use bore_tests::service::Service;
use bore_tests::wait::{SOON, until};
use serde_json::Value;

#[test]
fn another_nodes_port_is_taken_by_a_rule_only_and_comes_back_when_it_is_free() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let alice = Agent::join(&lab, &relay);
    let second = lab.second_agent();
    let key = relay.bore(&["key", "create"]).success().event("join_key_created");
    let bob = Agent::join_from(&lab, &second, "bob", key["key"].as_str().unwrap_or_default());
    let _services = [&lab.agent, &second].map(|machine| Service::tcp_echo(machine, 7000));
    alice.publish_in_background(&["tcp", "7000", "--name", "shell"]);

    let take = ["publish", "tcp", "7000", "--name", "shell", "--replace", "--bg"];
    let denied = bob.bore(&take);
    assert!(denied.stderr.contains("B4101") || denied.stdout.contains("B4101"), "{denied:?}");
    assert_eq!(of(&alice)["state"]["state"], "live", "nothing was taken");

    let rule =
        "[[publish]]\nname = \"bob\"\neffect = \"allow\"\nwho = [\"node:bob\"]\nreplace = true\n";
    let policy = lab.file("bob.toml", rule).display().to_string();
    relay.bore(&["policy", "apply", &policy]).success();
    bob.bore(&take).success();

    let refused = until("the loser to know", SOON, || {
        Some(of(&alice)).filter(|view| view["state"]["state"] == "refused")
    });
    let cause = refused["state"]["cause"].to_string();
    assert!(cause.contains("agent bob") && cause.contains("B2114"), "{refused}");
    let kept = std::fs::read_to_string(alice.state().join("publications.json"));
    let kept = kept.unwrap_or_default();
    assert!(kept.contains("\"shell\"") && kept.contains("B2114"), "{kept}");

    bob.bore(&["rm", "shell"]).success();
    until("it to be back", SOON * 2, || {
        Some(()).filter(|()| of(&alice)["state"]["state"] == "live")
    });
    let kept = std::fs::read_to_string(alice.state().join("publications.json"));
    assert!(!kept.unwrap_or_default().contains("B2114"), "the refusal is over");
}

/// What a rule gives to a name is an administrator's to give, not a joiner's to choose.
#[test]
fn who_joins_under_the_name_of_a_node_that_is_gone_has_none_of_its_rights() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let rule =
        "[[publish]]\nname = \"low\"\neffect = \"allow\"\nwho = [\"node:nas\"]\nports = [22]\n";
    let policy = lab.file("low.toml", rule).display().to_string();
    let applied = relay.bore(&["policy", "apply", &policy]).success();
    assert!(applied.stderr.contains("there is no node nas yet"), "{applied:?}");
    let agent = Agent::join(&lab, &relay);
    let _service = Service::tcp_echo(&lab.agent, 7000);
    let publish = ["publish", "tcp", "7000", "--port", "22", "--name", "shell", "--bg"];
    let denied = agent.bore(&publish);
    assert!(denied.stderr.contains("B4101") || denied.stdout.contains("B4101"), "{denied:?}");

    let renamed = relay.bore(&["node", "rename", "nas-2", "nas"]).success();
    assert!(renamed.stderr.contains("low/low names node:nas"), "{renamed:?}");
    agent.bore(&publish).success();
    let applied = relay.bore(&["policy", "apply", &policy]).success();
    assert!(applied.stderr.contains("rules for node:nas apply to the node"), "{applied:?}");

    let removed = relay.bore(&["node", "rm", "nas"]).success();
    assert!(removed.stderr.contains("low/low names node:nas, and stays"), "{removed:?}");
    let key = relay.create_key(&[])["key"].as_str().unwrap_or_default().to_owned();
    let key = lab.file("stranger.key", &key).display().to_string();
    let machine = lab.second_agent();
    let _other = Service::tcp_echo(&machine, 7000);
    let mut stranger = Agent::new(&lab, &machine, "stranger");
    stranger.start_with(&["--key-file", &key, "--name", "nas"]);
    let denied = stranger.bore(&publish);
    assert!(denied.stderr.contains("B4101") || denied.stdout.contains("B4101"), "{denied:?}");
    let nodes = relay.bore(&["node", "ls"]).success();
    assert!(nodes.stdout.contains("nas-2"), "{nodes:?}");
}

/// The only publication of an agent, as it says itself.
fn of(agent: &Agent) -> Value {
    agent.bore(&["status"]).success().event("status")["publications"][0].clone()
}
