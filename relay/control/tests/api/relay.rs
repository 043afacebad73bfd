//! A relay without packets: it remembers claims and reports, and nothing else.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bore_api::model::{DnsRecord, Domain, Micros, Node, Protocol, Publication};
use bore_api::state::{
    CertificateState, CertificateStatus, FlowState, NodeState, ProbeOrder, ProbeReport,
    PublicationState, State, Step, StepName, TargetReport,
};
use bore_control::doors::{ClaimError, Doors, Facts, Naming, Ports, Tunnels, Visits};
use bore_control::service::ApiKeys;
use bore_control::store::Store;
use bore_control::{Clock, Control, Core, Identity, OverlayAddressing, Settings};
use uuid::Uuid;

#[derive(Debug, Default)]
pub(crate) struct FakeRelay {
    pub(crate) admitted: Mutex<Vec<Uuid>>,
    pub(crate) claims: Mutex<HashMap<Uuid, Publication>>,
    /// Ports of other programs.
    pub(crate) busy: Mutex<HashSet<u16>>,
    pub(crate) flows: Mutex<Vec<FlowState>>,
    pub(crate) certificates: Mutex<Vec<CertificateState>>,
    pub(crate) steps: Mutex<HashMap<Uuid, Vec<Step>>>,
    pub(crate) draining: AtomicBool,
    /// Values that somebody has put into DNS.
    pub(crate) dns: Mutex<HashSet<String>>,
    /// What the clock shows; 0 while it goes.
    pub(crate) stopped_at: AtomicI64,
    /// It is known by its address, and has no domain.
    pub(crate) is_nameless: bool,
}

pub(crate) const PORTS: RangeInclusive<u16> = 20_000..=20_009;

impl FakeRelay {
    /// A control room that this relay is around.
    pub(crate) async fn control(
        self: &Arc<Self>,
        store: Arc<Store>,
        settings: Settings,
    ) -> Control {
        let clock = Arc::clone(self);
        let clock = Clock::new(move || clock.now());
        let core = Core::load(store, self.identity(), clock, settings).await.unwrap();
        let doors = Doors {
            ports: Arc::clone(self) as _,
            tunnels: Arc::clone(self) as _,
            visits: Arc::clone(self) as _,
            facts: Arc::clone(self) as _,
            naming: Arc::clone(self) as _,
        };
        let api_keys = ApiKeys::load(core.clone()).await.unwrap();
        Control::new(core, api_keys, doors)
    }

    pub(crate) fn identity(self: &Arc<Self>) -> Identity {
        let (host, domain) = match self.is_nameless {
            true => ("203.0.113.5", None),
            false => ("relay.example.org", Some("t.example.org".to_owned())),
        };
        Identity {
            host: host.to_owned(),
            domain,
            public_key: STANDARD.encode([7; 32]),
            overlay_port: 443,
            http_port: 80,
            https_port: 443,
            public_ports: PORTS,
            open_ports: 1024..=u16::MAX,
            version: "0.1.0",
            overlay: Arc::clone(self) as _,
        }
    }

    /// What the clock shows: the time of day, until a test stops it.
    pub(crate) fn now(&self) -> Micros {
        match self.stopped_at.load(Ordering::Relaxed) {
            0 => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                Micros::try_from(since_epoch.as_micros()).unwrap()
            }
            at => at,
        }
    }
}

#[async_trait]
impl Ports for FakeRelay {
    async fn claim(&self, publication: &Publication) -> Result<(), ClaimError> {
        let busy = self.busy.lock().unwrap();
        let first = publication.public_port.unwrap_or_default();
        if let Some(port) = (first..first + publication.port_count).find(|port| busy.contains(port))
        {
            let protocol = if publication.protocol == Protocol::Udp { "udp" } else { "tcp" };
            return Err(ClaimError::PortInUse { port, protocol });
        }
        self.claims.lock().unwrap().insert(publication.id, publication.clone());
        Ok(())
    }

    async fn release(&self, publication: Uuid) {
        self.claims.lock().unwrap().remove(&publication);
    }

    fn check(&self, _: Uuid) {}

    async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    async fn undrain(&self) {
        self.draining.store(false, Ordering::Relaxed);
    }
}

#[async_trait]
impl Tunnels for FakeRelay {
    async fn admit(&self, node: &Node) {
        self.admitted.lock().unwrap().push(node.id);
    }

    async fn call_back(&self, _node: Uuid) -> bool {
        true
    }

    fn state(&self, _: Uuid) -> NodeState {
        NodeState::default()
    }
}

impl Visits for FakeRelay {
    fn report_target(&self, _: Uuid, publication: Uuid, report: TargetReport) {
        let step = Step::new(StepName::Target, report.ok, report.detail);
        self.steps.lock().unwrap().insert(publication, vec![step]);
    }

    fn expect_probe(&self, _: Uuid, _: Uuid) -> Option<ProbeOrder> {
        Some(ProbeOrder { token: "0".repeat(32), expires_in_ms: 10_000, addresses: Vec::new() })
    }

    fn report_probe(&self, _: Uuid, publication: Uuid, report: ProbeReport) {
        self.steps.lock().unwrap().insert(publication, report.steps);
    }

    fn agent_left(&self, _node: Uuid) {}
}

impl Facts for FakeRelay {
    fn publication_state(&self, id: Uuid) -> PublicationState {
        let steps = self.steps.lock().unwrap().get(&id).cloned().unwrap_or_default();
        PublicationState {
            state: State::Offline,
            cause: None,
            steps,
            at: 0,
            awaits_certificate: false,
        }
    }

    fn public_address(&self, publication: &Publication) -> String {
        match (publication.hostnames.first(), publication.public_port) {
            (Some(hostname), _) => format!("{}://{hostname}", publication.protocol),
            (None, port) => {
                format!("{}://203.0.113.5:{}", publication.protocol, port.unwrap_or_default())
            }
        }
    }

    fn flows(&self, publication: Uuid) -> Vec<FlowState> {
        let flows = self.flows.lock().unwrap();
        flows.iter().filter(|flow| flow.publication == publication).cloned().collect()
    }
}

#[async_trait]
impl Naming for FakeRelay {
    async fn prove_domain(&self, proofs: &[DnsRecord]) -> Step {
        let dns = self.dns.lock().unwrap();
        let ok = proofs.iter().any(|proof| dns.contains(&proof.value));
        Step::new(StepName::Proof, ok, format!("expected {}", proofs[0]))
    }

    async fn look_at_domain(&self, _: &Domain) {}

    fn domain_state(&self, _: Uuid) -> Option<Step> {
        None
    }

    fn visitor_records(&self, name: &str) -> Vec<DnsRecord> {
        let kind = "CNAME".to_owned();
        vec![DnsRecord { name: name.to_owned(), kind, value: "relay.example.org".to_owned() }]
    }

    fn certificates(&self) -> Vec<CertificateState> {
        self.certificates.lock().unwrap().clone()
    }

    fn renew_certificate(&self, name: &str) -> Option<CertificateState> {
        let mut states = self.certificates.lock().unwrap();
        let state = states.iter_mut().find(|state| state.names.iter().any(|own| own == name))?;
        state.status = CertificateStatus::Ordering;
        Some(state.clone())
    }
}

impl OverlayAddressing for FakeRelay {
    fn encode_join_key(&self, network: Uuid, key: Uuid, secret: &[u8; 20]) -> String {
        format!("bore_join_{network}.{key}.{}", URL_SAFE_NO_PAD.encode(secret))
    }

    fn overlay_v6(&self, network: Uuid, public_key: &str) -> Option<Ipv6Addr> {
        let key: [u8; 32] = STANDARD.decode(public_key).ok()?.try_into().ok()?;
        let mut address = [0xfd; 16];
        address[1..6].copy_from_slice(&network.as_bytes()[11..16]);
        address[6..16].copy_from_slice(&key[..10]);
        Some(address.into())
    }

    fn relay_v4(&self) -> Ipv4Addr {
        [100, 64, 0, 1].into()
    }

    fn control_port(&self) -> u16 {
        80
    }
}
