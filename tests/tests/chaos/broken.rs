//! The disks of both machines turn read-only while relay and agent have their files open.

use bore_tests::bore::{Agent, Relay};
use bore_tests::fault::BreakableDisk;
use bore_tests::lab::Lab;
use bore_tests::service::Service;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};
use serde_json::json;

use crate::scene::BACK;

/// Visitors are served throughout, nothing is acknowledged that cannot be kept, and what was acknowledged before is there after the repair.
pub(crate) fn is_survived() {
    let lab = Lab::new();
    let disks = ["relay", "nas"].map(|name| BreakableDisk::mount(&lab.folder(name)));
    let mut relay = Relay::start(&lab);
    let mut agent = Agent::join(&lab, &relay);
    let _echo = Service::tcp_echo(&lab.agent, 7000);
    agent.publish_in_background(&["tcp", "7000", "--name", "shell", "--port", "20022"]);
    relay.wait_for_state("shell", "live");
    let groups = format!("{}/groups", relay.network());
    let write = |relay: &Relay, name: &str| {
        relay.api("POST", &groups, Some(&json!({"name": name, "nodes": []}))).status
    };
    let greet = || {
        let mut stream = visitor::connect(&lab.visitor, 20022)?;
        visitor::echo(&mut stream, b"hello")
    };
    assert_eq!(write(&relay, "before"), 201);

    disks.iter().for_each(BreakableDisk::turn_read_only);
    let refused = until("a change to be refused", SOON, || {
        Some(write(&relay, "during")).filter(|status| *status != 201)
    });
    assert!((500..600).contains(&refused), "{refused}");
    assert_eq!(relay.api("GET", "/v1/health", None).status / 100, 5);
    greet().unwrap();
    let kept = agent.bore(&["publish", "tcp", "7000", "--name", "late", "--port", "20023", "--bg"]);
    assert_ne!(kept.code, Some(0), "{kept:?}");
    assert!(visitor::connect(&lab.visitor, 20023).is_err(), "not served");
    greet().unwrap();
    assert!(agent.process().is_running() && relay.process().is_running());

    // Both machines lose their power.
    relay.kill();
    agent.kill();
    disks.iter().for_each(BreakableDisk::repair);
    relay.run();
    agent.start();
    until("visitors to be served again", BACK, || greet().ok());
    let names: Vec<_> = relay.list("groups").iter().map(|group| group["name"].clone()).collect();
    assert_eq!(names, ["before"]);
    assert_eq!(write(&relay, "after"), 201);
    assert_eq!(relay.bore(&["audit", "verify"]).code, Some(0));
}
