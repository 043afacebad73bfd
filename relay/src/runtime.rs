//! The relay as the control room sees it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use async_trait::async_trait;
use bore_api::model::{DnsRecord, Domain, Micros, Node, Protocol, Publication, PublishedHost};
use bore_api::state::{
    CertificateState, FlowState, NodeState, ProbeOrder, ProbeReport, PublicationState, RelayInfo,
    Step, TargetReport,
};
use bore_control::runtime::{ClaimError, Runtime};
use bore_edge::Scheme;
use bore_edge::now_micros;
use bore_edge::tls::Certificates;
use bore_overlay::{
    CONTROL_PORT, ClusterPublicKey, JoinKey, JoinSecret, NetworkId, PublicKey, RELAY_V4,
    RelayAddress, overlay_v6,
};
use uuid::Uuid;

use crate::acme::{Issuer, WantedNames};
use crate::domains::Domains;
use crate::limits::DOMAIN_LOOK_PATIENCE;
use crate::publications::missing_certificate::MissingCertificate;
use crate::publications::{Entry, Publications, Reconciler};
use crate::tunnels::Tunnels;

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
    publications: Arc<Publications>,
    certificates: Arc<Certificates>,
    pub(crate) domains: Arc<Domains>,
    /// Weak: the reconciler holds the control room, which holds this.
    reconciler: OnceLock<Weak<Reconciler>>,
    issuer: OnceLock<(Arc<Issuer>, WantedNames)>,
    draining: AtomicBool,
}

impl RelayRuntime {
    pub(crate) fn new(
        identity: Identity,
        publications: Arc<Publications>,
        certificates: Arc<Certificates>,
    ) -> Self {
        let addresses = &identity.public_addresses;
        let domains = Arc::new(Domains::new(&identity.host, addresses, Arc::clone(&publications)));
        let (reconciler, issuer) = (OnceLock::new(), OnceLock::new());
        let draining = AtomicBool::new(false);
        Self { identity, publications, certificates, domains, reconciler, issuer, draining }
    }

    /// Joins the runtime to the rest of the relay, once.
    pub(crate) fn attach(&self, reconciler: &Arc<Reconciler>) {
        // Attached once by the server; a second attachment would change nothing.
        let _ = self.reconciler.set(Arc::downgrade(reconciler));
    }

    /// Joins it to what keeps the certificates, once.
    pub(crate) fn attach_issuer(&self, issuer: &Arc<Issuer>, wanted: WantedNames) {
        let _ = self.issuer.set((Arc::clone(issuer), wanted));
    }

    fn reconciler(&self) -> Option<Arc<Reconciler>> {
        self.reconciler.get()?.upgrade()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn entry_of(&self, node: Uuid, publication: Uuid) -> Option<Arc<Entry>> {
        self.publications.get(publication).filter(|entry| entry.publication.node == node)
    }

    fn starting() -> ClaimError {
        ClaimError::Starting
    }
}

#[async_trait]
impl Runtime for RelayRuntime {
    async fn admit(&self, node: &Node) {
        if let Some(reconciler) = self.reconciler() {
            let Tunnels { members, shard, .. } = &*reconciler.tunnels;
            members.admit(shard, node).await;
        }
    }

    async fn claim(&self, publication: &Publication) -> Result<(), ClaimError> {
        if self.is_draining() {
            return Err(ClaimError::Leaving("draining"));
        }
        let reconciler = self.reconciler().ok_or_else(Self::starting)?;
        reconciler.ingress.claim(publication).await?;
        reconciler.note_claim(publication);
        Ok(())
    }

    async fn release(&self, publication: Uuid) {
        if let Some(reconciler) = self.reconciler() {
            reconciler.close(publication).await;
        }
    }

    fn open_ports(&self) -> RangeInclusive<u16> {
        self.identity.open_ports.clone()
    }

    fn public_ports(&self) -> RangeInclusive<u16> {
        self.identity.public_ports.clone()
    }

    fn publication_state(&self, id: Uuid) -> PublicationState {
        let mut state = self.publications.state(id, Instant::now());
        if let Some(missing) = self.missing_certificate(id) {
            missing.tell(&mut state);
        }
        state
    }

    fn public_address(&self, publication: &Publication) -> String {
        let host = bracketed(&self.identity.host);
        match (publication.protocol, publication.public_port, first_hostname(publication)) {
            (Protocol::Http | Protocol::Tls, _, Some(hostname)) => {
                self.address_of(publication.protocol, &hostname.to_string())
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
        let Some(reconciler) = self.reconciler() else { return };
        let look = self.domains.look(&reconciler.control, domain);
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
        let Some(reconciler) = self.reconciler() else { return NodeState::default() };
        let version = reconciler.control.agent_version(id);
        NodeState { version, ..reconciler.tunnels.members.state(id, Instant::now()) }
    }

    fn flows(&self, publication: Option<Uuid>) -> Vec<FlowState> {
        let flows =
            self.reconciler().map(|reconciler| reconciler.shared.gate.flows.list(publication));
        flows.unwrap_or_default()
    }

    fn report_target(&self, node: Uuid, publication: Uuid, report: TargetReport) {
        let Some(reconciler) = self.reconciler() else { return };
        tracing::debug!(%publication, ok = report.ok, "target reported");
        reconciler.handle_report(node, publication);
    }

    fn expect_probe(&self, node: Uuid, publication: Uuid) -> Option<ProbeOrder> {
        let reconciler = self.reconciler()?;
        let entry = self.entry_of(node, publication)?;
        let (token, wait) = reconciler.shared.expected.expect(publication, Instant::now())?;
        entry.evidence.expect_visit();
        Some(ProbeOrder {
            token,
            expires_in_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            addresses: self.addresses(&entry.publication),
        })
    }

    fn report_probe(&self, node: Uuid, publication: Uuid, report: ProbeReport) {
        let Some(reconciler) = self.reconciler() else { return };
        let Some(entry) = self.entry_of(node, publication) else { return };
        entry.evidence.set_visit(report, Instant::now());
        reconciler.control.notify_node(node);
    }

    fn agent_left(&self, node: Uuid) {
        if let Some(reconciler) = self.reconciler() {
            reconciler.doubt(node);
        }
    }

    async fn call_back_agent(&self, node: Uuid) -> bool {
        match self.reconciler() {
            Some(reconciler) => {
                reconciler.tunnels.members.call_back(&reconciler.tunnels.shard, node).await
            }
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

    fn control_inside(&self) -> SocketAddrV4 {
        SocketAddrV4::new(RELAY_V4, CONTROL_PORT)
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
        if let Some(reconciler) = self.reconciler() {
            reconciler.ingress.stop().await;
            reconciler.check_ports();
        }
    }

    async fn undrain(&self) {
        self.draining.store(false, Ordering::Release);
        if let Some(reconciler) = self.reconciler() {
            reconciler.ingress.resume().await;
            reconciler.check_ports();
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
        names.map(|name| self.address_of(publication.protocol, &name.to_string())).collect()
    }

    fn address_of(&self, protocol: Protocol, hostname: &str) -> String {
        match protocol {
            Protocol::Tls => format!("tls://{hostname}:{}", self.identity.https_port),
            Protocol::Http | Protocol::Tcp | Protocol::Udp => self.web_address(hostname),
        }
    }

    /// The first certificate that a publication's hostnames lack.
    fn missing_certificate(&self, publication: Uuid) -> Option<MissingCertificate> {
        let (issuer, wanted) = self.issuer.get()?;
        // Of the store: the answer to a publish is given before there is an entry.
        let stored = self.reconciler()?.control.publication(publication)?;
        let hostnames = stored.hostnames.iter().filter(|_| stored.protocol == Protocol::Http);
        let mut names = hostnames.map(ToString::to_string);
        names.find_map(|name| match issuer.state_of(&name) {
            Some(certificate) => MissingCertificate::of(&name, &certificate),
            None if self.certificates.has(&name) || !wanted.wants(&name) => None,
            None => Some(MissingCertificate::expected(&name)),
        })
    }

    /// HTTPS as soon as there is a certificate for the name.
    fn web_address(&self, hostname: &str) -> String {
        let (scheme, port) = if self.certificates.has(hostname) {
            (Scheme::Https, self.identity.https_port)
        } else {
            (Scheme::Http, self.identity.http_port)
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
fn first_hostname(publication: &Publication) -> Option<&PublishedHost> {
    let whole = |host: &&PublishedHost| host.wildcard_base().is_none();
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
