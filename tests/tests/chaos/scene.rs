//! One relay, one agent, and a publication that is live.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use bore_tests::bore::{Agent, Relay};
use bore_tests::curl::Answer;
use bore_tests::fault::{Preload, SmallDisk};
use bore_tests::lab::{Lab, VISITOR};
use bore_tests::service::Service;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};

/// Where the agent's and the relay's states are on small disks of their own, and where their files fail when a case says so.
pub(crate) struct Scene {
    pub(crate) agent: Agent,
    pub(crate) agent_disk: SmallDisk,
    pub(crate) agent_faults: Preload,
    pub(crate) relay: Relay,
    pub(crate) relay_disk: SmallDisk,
    pub(crate) relay_faults: Preload,
    /// Path of the only network.
    pub(crate) network: String,
    /// What was told of every change.
    told: Vec<Told>,
    _echo: Service,
    pub(crate) lab: Lab,
}

impl Scene {
    pub(crate) fn live(database_url: Option<&str>) -> Self {
        let lab = Lab::new();
        let relay_disk = SmallDisk::mount(&lab.folder("relay"), 32 << 10);
        let relay_faults = Preload::new(&lab.folder("relay"));
        let url = database_url.map(|url| lab.file("database.url", url).display().to_string());
        let database = url.as_ref().map(|url| ["--database-url-file", url]);
        let database = database.as_ref().map_or(&[][..], |flags| flags);
        let mut relay = Relay::init(&lab, database).with_environment(relay_faults.environment());
        relay.run();
        let agent_disk = SmallDisk::mount(&lab.folder("nas"), 1 << 10);
        let agent_faults = Preload::new(&lab.folder("nas").join("state"));
        let mut agent =
            Agent::new(&lab, &lab.agent, "nas").with_environment(agent_faults.environment());
        let key = lab.file("nas.key", relay.join_key()).display().to_string();
        agent.start_with(&["--key-file", &key, "--name", "nas"]);
        let echo = Service::tcp_echo(&lab.agent, 7000);
        agent.publish_in_background(&["tcp", "7000", "--name", "shell", "--port", "20022"]);
        relay.wait_for_state_within(SOON * 2, "shell", "live");
        let network = relay.network();
        let mut scene = Self {
            agent,
            agent_disk,
            agent_faults,
            relay,
            relay_disk,
            relay_faults,
            network,
            told: Vec::new(),
            _echo: echo,
            lab,
        };
        scene.write().unwrap();
        scene
    }

    /// One visitor, one message and its answer.
    pub(crate) fn greet(&self) -> std::io::Result<TcpStream> {
        Self::visit(&self.lab)
    }

    /// What [`Self::greet`] does, for a thread that has no scene.
    pub(crate) fn visit(lab: &Lab) -> std::io::Result<TcpStream> {
        let mut stream = visitor::connect(&lab.visitor, 20022)?;
        visitor::echo(&mut stream, VISITOR.to_string().as_bytes())?;
        Ok(stream)
    }

    pub(crate) fn demand_served(&self) {
        self.greet().unwrap();
    }

    /// After a fault is over.
    pub(crate) fn demand_back(&self) {
        let began = Instant::now();
        until("visitors to be served again", BACK, || self.greet().ok());
        println!("  served again after {:.1?}", began.elapsed());
    }

    /// A change of the relay's state.
    pub(crate) fn write(&mut self) -> Result<(), String> {
        let told = Told::of(&self.relay, &self.network, format!("group-{}", self.told.len()));
        let result = if told.is_made() { Ok(()) } else { Err(format!("{:?}", told.answer)) };
        self.told.push(told);
        result
    }

    /// After a fault is over.
    pub(crate) fn demand_writes_back(&mut self) {
        let began = Instant::now();
        until("changes to be taken again", BACK, || self.write().ok());
        println!("  changes taken again after {:.1?}", began.elapsed());
    }

    /// Everything is as it was, and nothing that was acknowledged is lost.
    pub(crate) fn demand_kept(&mut self) {
        self.agent_faults.mend();
        self.relay_faults.mend();
        assert!(self.agent.process().is_running(), "{}", self.agent.process().text());
        assert!(self.relay.process().is_running(), "{}", self.relay.process().text());
        self.demand_back();
        self.demand_writes_back();
        let groups = self.relay.list("groups");
        for change in &self.told {
            let is_kept = groups.iter().any(|group| group["name"] == *change.name);
            assert!(is_kept || !change.is_made(), "lost: {change:?}");
            assert!(!is_kept || !change.is_not_made(), "made all the same: {change:?}");
        }
        let shell = self.relay.publication("shell").unwrap();
        assert_eq!(shell["public_port"], 20022, "{shell}");
        assert_eq!(self.relay.bore(&["audit", "verify"]).code, Some(0));
    }

    /// Has the agent lose its relay and come back while whatever is wrong is wrong.
    pub(crate) fn restart_relay(&mut self) {
        self.relay.kill();
        self.relay.run();
        self.demand_back();
    }
}

/// A change, and what its caller was told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) took: Duration,
    answer: Answer,
}

impl Told {
    /// Asks for a group of this name in a network.
    pub(crate) fn of(relay: &Relay, network: &str, name: String) -> Self {
        let body = serde_json::json!({ "name": name, "nodes": [] });
        let began = Instant::now();
        let answer = relay.api("POST", &format!("{network}/groups"), Some(&body));
        Self { name, took: began.elapsed(), answer }
    }

    pub(crate) fn is_made(&self) -> bool {
        self.answer.status == 201
    }

    /// Nothing was changed, or written.
    pub(crate) fn is_not_made(&self) -> bool {
        self.answer.body.contains("nothing was")
    }

    /// It was made, or refused by name.
    pub(crate) fn is_answered(&self) -> bool {
        self.is_made() || self.answer.body.contains("\"code\":\"B6")
    }
}

/// How long after the end of a fault everything is as before.
pub(crate) const BACK: Duration = Duration::from_secs(5);
