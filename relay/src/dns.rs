//! DNS: the zone of the relay's domain, answered by the relay itself, and TXT records in a zone that somebody else keeps.
//!
//! ```text
//! datagram, connection ── server ── respond (bytes → bytes) ── zone ◀── published names, TXT values, addresses, CAA
//!                                                               ▲
//! a proof for a certificate authority ── TxtRecords ─┬──────────┘
//!                                                    ├─ rfc2136 ───┐
//!                                                    ├─ exec ──────┼── visible: wait until the zone's servers show it
//!                                                    └─ cloudflare ┘
//! ```
//!
//! One NS record of the parent zone makes a wildcard certificate and every new name work without anybody's API. The server is
//! authoritative for that one zone and nothing else: it never asks others and never answers for others.
//!
//! Invariants: a source is not sent more than it sent, but for a named budget; a name that is not published does not exist.

pub mod cloudflare;
pub mod counters;
pub mod exec;
pub mod limits;
pub mod lookups;
pub mod records;
pub mod respond;
pub mod rfc2136;
pub mod server;
mod table;
mod txt;
pub mod visible;
pub mod zone;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use bore_edge::now_micros;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{BuiltIn, Config, ConfigError, DnsProvider};
use counters::DnsCounters;
use limits::{ADDRESSES_REFRESH, ADDRESSES_RETRY, DELEGATION_LOOK_MAX};
use lookups::{LookupError, Lookups};
use records::Wanted;
use server::{Sockets, serve};
pub use txt::{TxtError, TxtRecords};
use zone::{BUILT_IN, Published, Zone, ZoneError};

/// Why there is no DNS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// The zone of the relay's domain.
    #[error("there is no zone to answer for")]
    Zone(#[from] ZoneError),
    /// A provider's settings.
    #[error("the [dns] table cannot be used: {0}")]
    Settings(#[from] ConfigError),
    /// The zone's servers cannot be asked.
    #[error("the zone's servers cannot be asked")]
    Lookups(#[from] LookupError),
}

/// What runs.
#[derive(Debug, Default)]
pub(crate) struct Dns {
    /// Where proofs of names go, if they can go anywhere.
    pub(crate) txt_records: Option<Arc<dyn TxtRecords>>,
    /// They end when the relay closes.
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

/// The sockets of the built-in server, bound before anything else is made, so that a port that is taken stops the start.
#[derive(Debug, Default)]
pub(crate) struct Listening(Vec<Sockets>);

impl Listening {
    /// Binds what the configuration asks for, if anything.
    pub(crate) async fn bind(config: &Config) -> Result<Self, (SocketAddr, std::io::Error)> {
        let Some(DnsProvider::BuiltIn(settings)) = &config.dns else { return Ok(Self::default()) };
        let mut bound = Vec::new();
        for address in &settings.listen {
            let sockets = Sockets::bind(*address).await.map_err(|error| (*address, error))?;
            bound.push(sockets);
        }
        Ok(Self(bound))
    }

    /// Where the first one is.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.0.first().and_then(|sockets| sockets.local_addr().ok())
    }

    /// Makes what the configuration asks for; it ends at `closing`.
    ///
    /// # Errors
    /// See [`DnsError`].
    pub(crate) fn start(
        self,
        config: &Config,
        published: Published,
        registry: &mut Registry,
        closing: &watch::Receiver<bool>,
    ) -> Result<Dns, DnsError> {
        let counters = DnsCounters::register(registry);
        let (Some(provider), Some(domain)) = (&config.dns, &config.domain) else {
            return Ok(Dns::default());
        };
        let DnsProvider::BuiltIn(settings) = provider else {
            return Ok(Dns { txt_records: elsewhere(provider)?, tasks: Vec::new() });
        };
        let zone = Arc::new(Zone::new(domain, &config.host, serial(), published)?);
        let following = tokio::spawn(follow(
            Arc::clone(&zone),
            settings.clone(),
            config.host.clone(),
            records::is_within(&config.host, domain),
            closing.clone(),
        ));
        let serving = self.0.into_iter().map(|sockets| {
            tokio::spawn(serve(sockets, Arc::clone(&zone), counters.clone(), closing.clone()))
        });
        let tasks = serving.chain([following]).collect();
        let (wanted, says_who_may_issue) = (Wanted::of(config), settings.caa);
        let own = Own { zone, wanted, says_who_may_issue };
        Ok(Dns { txt_records: Some(Arc::new(own)), tasks })
    }
}

/// The zone that somebody else keeps.
fn elsewhere(provider: &DnsProvider) -> Result<Option<Arc<dyn TxtRecords>>, DnsError> {
    let lookups = Lookups::system()?;
    Ok(match provider {
        DnsProvider::BuiltIn(_) => None,
        DnsProvider::Rfc2136(settings) => Some(Arc::new(rfc2136::Rfc2136::new(settings, lookups)?)),
        DnsProvider::Exec(command) => Some(Arc::new(exec::Exec::new(command, lookups))),
        DnsProvider::Cloudflare(settings) => {
            Some(Arc::new(cloudflare::Cloudflare::new(settings, lookups)?))
        }
    })
}

/// The zone that this relay answers for, and what leads there.
#[derive(Debug)]
struct Own {
    zone: Arc<Zone>,
    wanted: Wanted,
    says_who_may_issue: bool,
}

#[async_trait]
impl TxtRecords for Own {
    async fn publish(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.zone.publish_txt(name, value)
    }

    async fn withdraw(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.zone.withdraw_txt(name, value)
    }

    fn admit(&self, issuers: Vec<zone::Issuer>) {
        if self.says_who_may_issue {
            self.zone.set_issuers(issuers);
        }
    }

    async fn ready(&self) -> Result<(), TxtError> {
        // Made anew, because the system's resolver may be another one by now.
        let lookups = match Lookups::system() {
            Ok(lookups) => lookups,
            Err(error) => {
                tracing::debug!(%error, "nobody can be asked for the delegation");
                return Ok(());
            }
        };
        let looking = self.wanted.missing_delegation(&lookups);
        let looked = tokio::time::timeout(DELEGATION_LOOK_MAX, looking).await;
        let Some(missing) = looked.ok().flatten() else { return Ok(()) };
        let cause = missing
            .next
            .map_or_else(|| missing.seen.clone(), |next| format!("{}: {next}", missing.seen));
        Err(TxtError::NotDelegated { provider: BUILT_IN, subject: missing.subject, cause })
    }
}

/// Nobody transfers the zone; that the serial grows is for people who look at it.
fn serial() -> u32 {
    u32::try_from(now_micros() / 1_000_000).unwrap_or(u32::MAX)
}

/// Keeps the zone's addresses those of the configuration, else those of the host, which may move, else those of this machine.
async fn follow(
    zone: Arc<Zone>,
    settings: BuiltIn,
    host: String,
    is_in_zone: bool,
    mut closing: watch::Receiver<bool>,
) {
    let configured = settings.addresses;
    let fixed = if configured.is_empty() { host.parse().into_iter().collect() } else { configured };
    if !fixed.is_empty() {
        return zone.set_addresses(fixed);
    }
    let mut is_known = false;
    loop {
        // Of a host in its own zone only this machine can say where it is.
        let found = if is_in_zone { Vec::new() } else { resolved(&host).await };
        let (addresses, wait) = match found {
            // What was found once holds while the resolver is silent: every name of the zone leads there.
            found if found.is_empty() && is_known => (Vec::new(), ADDRESSES_RETRY),
            found if found.is_empty() => (records::own_addresses(), ADDRESSES_RETRY),
            found => (found, ADDRESSES_REFRESH),
        };
        is_known |= wait == ADDRESSES_REFRESH;
        if !addresses.is_empty() {
            zone.set_addresses(addresses);
        } else if !is_known {
            tracing::warn!("the relay does not know its addresses: set dns.addresses");
        }
        if tokio::time::timeout(wait, closing.wait_for(|closing| *closing)).await.is_ok() {
            return;
        }
    }
}

/// By the system's resolver; a machine's own hosts file calls itself loopback.
async fn resolved(host: &str) -> Vec<IpAddr> {
    let resolved = tokio::net::lookup_host((host, 0)).await;
    let resolved = resolved.into_iter().flatten().map(|address| address.ip());
    let mut found: Vec<IpAddr> = resolved.filter(|address| !address.is_loopback()).collect();
    found.sort();
    found.dedup();
    found
}
