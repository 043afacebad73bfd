//! The relay as the control room sees it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use async_trait::async_trait;
use bore_api::model::{DnsRecord, Domain, Micros, Node, Protocol, Publication};
use bore_api::state::{
    CertificateState, FlowState, NodeState, ProbeOrder, ProbeReport, PublicationState, RelayInfo,
    Step, TargetReport,
};
use bore_control::runtime::{ClaimError, Runtime};
use bore_overlay::{
    ClusterPublicKey, JoinKey, JoinSecret, NetworkId, PublicKey, RelayAddress, overlay_v6,
};
use uuid::Uuid;

use crate::acme::{Issuer, WantedNames};
use crate::clock::now_micros;
use crate::domains::Domains;
use crate::edge::Scheme;
use crate::limits::DOMAIN_LOOK_PATIENCE;
use crate::publications::missing_certificate::Lacking;
use crate::publications::proof::States;
use crate::publications::reconciler::Steward;
use crate::tls::Certificates;

/// Facts that never change while a relay runs.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) host: String,
    pub(crate) domain: Option<String>,
    pub(crate) relay_key: PublicKey,
    pub(crate) cluster_key: ClusterPublicKey,
    pub(crate) overlay_port: u16,
    pub(crate) http_port: u16,
    pub(crate) https_port: u16,
    pub(crate) public_addresses: Vec<IpAddr>,
    pub(crate) public_ports: RangeInclusive<u16>,
    pub(crate) open_ports: RangeInclusive<u16>,
}

/// Implements [`Runtime`] over the parts of the relay, which are made after it.
#[derive(Debug)]
pub(crate) struct RelayRuntime {
    identity: Identity,
    states: Arc<States>,
    certificates: Arc<Certificates>,
    pub(crate) domains: Arc<Domains>,
    /// Weak: the steward holds the control room, which holds this.
    steward: OnceLock<Weak<Steward>>,
    issuer: OnceLock<(Arc<Issuer>, WantedNames)>,
    draining: AtomicBool,
}

impl RelayRuntime {
    pub(crate) fn new(
        identity: Identity,
        states: Arc<States>,
        certificates: Arc<Certificates>,
    ) -> Self {
        let addresses = &identity.public_addresses;
        let domains = Arc::new(Domains::new(&identity.host, addresses, Arc::clone(&states)));
        let (steward, issuer) = (OnceLock::new(), OnceLock::new());
        let draining = AtomicBool::new(false);
        Self { identity, states, certificates, domains, steward, issuer, draining }
    }

    /// Joins the runtime to the rest of the relay, once.
    pub(crate) fn attach(&self, steward: &Arc<Steward>) {
        // Attached once by the server; a second attachment would change nothing.
        let _ = self.steward.set(Arc::downgrade(steward));
    }

    /// Joins it to what keeps the certificates, once.
    pub(crate) fn attach_issuer(&self, issuer: &Arc<Issuer>, wanted: WantedNames) {
        let _ = self.issuer.set((Arc::clone(issuer), wanted));
    }

    fn steward(&self) -> Option<Arc<Steward>> {
        self.steward.get()?.upgrade()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn starting() -> ClaimError {
        ClaimError::Starting
    }
}

#[async_trait]
impl Runtime for RelayRuntime {
    async fn admit(&self, node: &Node) {
        if let Some(steward) = self.steward() {
            steward.members.admit(&steward.shard, node).await;
        }
    }

    async fn claim(&self, publication: &Publication) -> Result<(), ClaimError> {
        if self.is_draining() {
            return Err(ClaimError::Leaving("draining"));
        }
        let steward = self.steward().ok_or_else(Self::starting)?;
        steward.ingress.claim(publication).await?;
        steward.declare(publication);
        Ok(())
    }

    async fn release(&self, publication: Uuid) {
        if let Some(steward) = self.steward() {
            steward.close(publication).await;
        }
    }

    fn open_ports(&self) -> RangeInclusive<u16> {
        self.identity.open_ports.clone()
    }

    fn public_ports(&self) -> RangeInclusive<u16> {
        self.identity.public_ports.clone()
    }

    fn publication_state(&self, id: Uuid) -> PublicationState {
        let mut state = self.states.get(id, Instant::now());
        if let Some(lacking) = self.lacking(id) {
            lacking.tell(&mut state);
        }
        state
    }

    fn public_address(&self, publication: &Publication) -> String {
        let host = bracketed(&self.identity.host);
        match (publication.protocol, publication.public_port, first_hostname(publication)) {
            (Protocol::Http | Protocol::Tls, _, Some(hostname)) => {
                self.address_of(publication.protocol, hostname)
            }
            (Protocol::Udp, Some(port), _) => {
                format!("udp://{host}:{}", ports(port, publication.port_count))
            }
            (_, Some(port), _) => format!("tcp://{host}:{}", ports(port, publication.port_count)),
            (_, None, _) => host,
        }
    }

    fn now(&self) -> Micros {
        now_micros()
    }

    async fn prove_domain(&self, proofs: &[DnsRecord]) -> Step {
        self.domains.prove(proofs).await
    }

    async fn look_at_domain(&self, domain: &Domain) {
        let Some(steward) = self.steward() else { return };
        let look = self.domains.look(&steward.control, domain);
        if tokio::time::timeout(DOMAIN_LOOK_PATIENCE, look).await.is_err() {
            tracing::debug!(domain = %domain.id, "a look at a domain takes long");
        }
    }

    fn domain_state(&self, domain: Uuid) -> Option<Step> {
        self.domains.state(domain)
    }

    fn visitor_records(&self, name: &str) -> Vec<DnsRecord> {
        self.domains.visitor_records(name)
    }

    fn domain(&self) -> Option<String> {
        self.identity.domain.clone()
    }

    fn node_state(&self, id: Uuid) -> NodeState {
        let Some(steward) = self.steward() else { return NodeState::default() };
        let version = steward.control.agent_version(id);
        NodeState { version, ..steward.members.state(id, Instant::now()) }
    }

    fn flows(&self, publication: Option<Uuid>) -> Vec<FlowState> {
        let flows = self.steward().map(|steward| steward.shared.gate.flows.list(publication));
        flows.unwrap_or_default()
    }

    fn report_target(&self, node: Uuid, publication: Uuid, report: TargetReport) {
        let Some(steward) = self.steward() else { return };
        tracing::debug!(%publication, ok = report.ok, "target reported");
        steward.handle_report(node, publication);
    }

    fn expect_probe(&self, node: Uuid, publication: Uuid) -> Option<ProbeOrder> {
        let steward = self.steward()?;
        let item = steward.publication(publication).filter(|item| item.node == node)?;
        let (token, wait) = steward.shared.expected.expect(publication, Instant::now())?;
        self.states.expect_visit(publication);
        Some(ProbeOrder {
            token,
            expires_in_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            addresses: self.addresses(&item),
        })
    }

    fn report_probe(&self, node: Uuid, publication: Uuid, report: ProbeReport) {
        let Some(steward) = self.steward() else { return };
        let Some(item) = steward.publication(publication).filter(|item| item.node == node) else {
            return;
        };
        self.states.set_visit(publication, report, Instant::now());
        steward.control.notify_node(item.node);
    }

    fn agent_left(&self, node: Uuid) {
        if let Some(steward) = self.steward() {
            steward.doubt(node);
        }
    }

    async fn call_back_agent(&self, node: Uuid) -> bool {
        match self.steward() {
            Some(steward) => steward.members.call_back(&steward.shard, node).await,
            None => false,
        }
    }

    fn encode_join_key(&self, network: Uuid, key: Uuid, secret: &[u8; 20]) -> String {
        let join_key = JoinKey {
            cluster: self.identity.cluster_key,
            network: NetworkId(*network.as_bytes()),
            key_id: *key.as_bytes(),
            secret: JoinSecret::from_bytes(*secret),
            relays: vec![self.relay_address()],
        };
        join_key.encode().as_str().to_owned()
    }

    fn overlay_v6(&self, network: Uuid, public_key: &str) -> Option<Ipv6Addr> {
        let key: PublicKey = public_key.parse().ok()?;
        if key.is_weak() {
            return None;
        }
        Some(overlay_v6(NetworkId(*network.as_bytes()), &key))
    }

    fn certificates(&self) -> Vec<CertificateState> {
        self.issuer.get().map(|(issuer, _)| issuer.states()).unwrap_or_default()
    }

    fn renew_certificate(&self, name: &str) -> Option<CertificateState> {
        self.issuer.get()?.0.renew(name)
    }

    fn relay_info(&self) -> RelayInfo {
        RelayInfo {
            host: self.identity.host.clone(),
            overlay_port: self.identity.overlay_port,
            public_key: self.identity.relay_key.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            draining: self.is_draining(),
            http_port: self.identity.http_port,
            https_port: self.identity.https_port,
        }
    }

    async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        if let Some(steward) = self.steward() {
            steward.ingress.stop().await;
            steward.check_ports();
        }
    }

    async fn undrain(&self) {
        self.draining.store(false, Ordering::Release);
        if let Some(steward) = self.steward() {
            steward.ingress.resume().await;
            steward.check_ports();
        }
    }
}

impl RelayRuntime {
    /// One for each hostname, or the only one.
    fn addresses(&self, publication: &Publication) -> Vec<String> {
        if publication.hostnames.is_empty() {
            return vec![self.public_address(publication)];
        }
        let names = publication.hostnames.iter();
        names.map(|name| self.address_of(publication.protocol, name)).collect()
    }

    fn address_of(&self, protocol: Protocol, hostname: &str) -> String {
        match protocol {
            Protocol::Tls => format!("tls://{hostname}:{}", self.identity.https_port),
            Protocol::Http | Protocol::Tcp | Protocol::Udp => self.web_address(hostname),
        }
    }

    /// The first certificate that a publication's hostnames lack.
    fn lacking(&self, publication: Uuid) -> Option<Lacking> {
        let (issuer, wanted) = self.issuer.get()?;
        let names = self.states.web_names(publication);
        names.iter().find_map(|name| match issuer.state_of(name) {
            Some(certificate) => Lacking::of(name, &certificate),
            None if self.certificates.entry_of(name).is_some() || !wanted.wants(name) => None,
            None => Some(Lacking::expected(name)),
        })
    }

    /// HTTPS as soon as there is a certificate for the name.
    fn web_address(&self, hostname: &str) -> String {
        let (scheme, port) = match self.certificates.entry_of(hostname) {
            Some(_) => (Scheme::Https, self.identity.https_port),
            None => (Scheme::Http, self.identity.http_port),
        };
        let host = bracketed(hostname);
        if port == scheme.default_port() {
            return format!("{}://{host}/", scheme.as_str());
        }
        format!("{}://{host}:{port}/", scheme.as_str())
    }

    fn relay_address(&self) -> RelayAddress {
        let (host, port) = (&self.identity.host, self.identity.overlay_port);
        match host.parse::<IpAddr>() {
            Ok(address) => RelayAddress::Socket(SocketAddr::new(address, port)),
            Err(_) => RelayAddress::Name { host: host.clone(), port },
        }
    }
}

/// A whole name before a wildcard, which nobody can type.
fn first_hostname(publication: &Publication) -> Option<&String> {
    let whole = |name: &&String| !name.starts_with('*');
    publication.hostnames.iter().find(whole).or_else(|| publication.hostnames.first())
}

fn bracketed(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

fn ports(first: u16, count: u16) -> String {
    match count {
        0 | 1 => first.to_string(),
        more => format!("{first}-{}", first.saturating_add(more - 1)),
    }
}
