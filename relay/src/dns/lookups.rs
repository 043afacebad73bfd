//! Asking others: the system's resolver for what the world sees, and one server directly for what a zone says.
//!
//! hickory drops what nobody asked for: an answer with another id, from another address or port, or to another question. Of what is left, only
//! records that belong to the question count here; whatever else a server adds to its answer is not looked at (bailiwick).
//!
//! Nothing is cached: whoever asks wants to know how it is at this moment.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::{DnsExchange, FirstAnswer as _};
use hickory_net::{DnsError, DnsHandle as _, NetError};
use hickory_proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::{Resolver, TokioResolver};

use super::limits::{ASK_TIMEOUT, SERVERS_ASKED_MAX};
use super::zone::{absolute, spelled};

/// A way to ask.
#[derive(Debug, Clone)]
pub struct Lookups {
    resolver: TokioResolver,
    server_port: u16,
}

/// What a name has, as somebody sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The data of the records of the type asked for.
    pub records: Vec<String>,
    /// How long whoever said so may still say so.
    pub ttl_seconds: u32,
    /// Where a CNAME record leads.
    pub alias: Option<String>,
}

/// A server of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it is asked.
    pub address: SocketAddr,
}

/// The zone that a name lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The zone.
    pub zone: String,
    /// Its servers, as many as are asked.
    pub servers: Vec<Server>,
}

/// Why something could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The system's resolver.
    #[error("the system's resolver cannot be used: {0}")]
    System(#[source] Box<NetError>),
    /// Not a name.
    #[error("{0}")]
    Name(String),
    /// No answer, or an error.
    #[error("{who} did not answer for {name}: {source}")]
    Failed {
        /// Who was asked.
        who: String,
        /// For what.
        name: String,
        /// Why.
        source: Box<NetError>,
    },
    /// Nobody is known to keep the zone.
    #[error("no zone with name servers is above {0}")]
    NoZone(String),
}

impl Lookups {
    /// By the system's resolver, hosts file included.
    ///
    /// # Errors
    /// When the system has none.
    pub fn system() -> Result<Self, LookupError> {
        let mut builder = TokioResolver::builder_tokio().map_err(unusable)?;
        set_options(builder.options_mut());
        Ok(Self { resolver: builder.build().map_err(unusable)?, server_port: DNS_PORT })
    }

    /// By this resolver, with the zones' servers on this port.
    ///
    /// # Errors
    /// When hickory cannot be set up.
    pub fn through(resolver: SocketAddr, server_port: u16) -> Result<Self, LookupError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
            way.port = resolver.port();
            way
        });
        let server = NameServerConfig::new(resolver.ip(), true, connections.to_vec());
        let config = ResolverConfig::from_name_servers(vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = Resolver::builder_with_config(config, provider);
        set_options(builder.options_mut());
        Ok(Self { resolver: builder.build().map_err(unusable)?, server_port })
    }

    /// What the resolver says. That there is nothing is an answer, not an error.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn seen(&self, name: &str, kind: RecordType) -> Result<Seen, LookupError> {
        let asked = absolute(name).map_err(|error| LookupError::Name(error.to_string()))?;
        match self.resolver.lookup(asked.clone(), kind).await {
            Ok(found) => Ok(Seen::of(found.answers(), &asked, kind)),
            Err(error) if is_negative(&error) => Ok(Seen::default()),
            Err(source) => Err(failed("the system's resolver", name, source)),
        }
    }

    /// The addresses that the resolver gives for a name.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let v4 = self.seen(name, RecordType::A).await?;
        let v6 = self.seen(name, RecordType::AAAA).await?;
        Ok([v4.records, v6.records].concat().iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// The zone that a name lies in, and who keeps it: the nearest name above with NS records.
    ///
    /// # Errors
    /// When a resolver or every server's address is silent, or there is no such zone.
    pub async fn cut(&self, name: &str) -> Result<Cut, LookupError> {
        let mut at = absolute(name).map_err(|error| LookupError::Name(error.to_string()))?;
        while !at.is_root() {
            let zone = spelled(&at);
            let names = self.seen(&zone, RecordType::NS).await?;
            if !names.records.is_empty() && names.alias.is_none() {
                let servers = self.servers(&names.records).await;
                return Ok(Cut { zone, servers });
            }
            at = at.base_name();
        }
        Err(LookupError::NoZone(name.to_owned()))
    }

    /// A server whose name does not resolve is left out: others may do.
    async fn servers(&self, names: &[String]) -> Vec<Server> {
        let mut servers = Vec::new();
        for name in names.iter().take(SERVERS_ASKED_MAX) {
            let name = name.trim_end_matches('.');
            for address in self.addresses(name).await.unwrap_or_default() {
                let address = SocketAddr::new(address, self.server_port);
                servers.push(Server { name: name.to_owned(), address });
            }
        }
        servers.truncate(SERVERS_ASKED_MAX);
        servers
    }

    /// What one server says by itself; what it says by datagram and is cut short, it says by TCP.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn ask(
        &self,
        server: SocketAddr,
        name: &str,
        kind: RecordType,
    ) -> Result<DnsResponse, LookupError> {
        let asked = absolute(name).map_err(|error| LookupError::Name(error.to_string()))?;
        let silent = |source| failed(&server.to_string(), name, source);
        let provider = TokioRuntimeProvider::default();
        let by_datagram = UdpClientStream::builder(server, provider.clone())
            .with_timeout(Some(ASK_TIMEOUT))
            .exchange();
        let answer = question(&by_datagram, asked.clone(), kind).await.map_err(silent)?;
        if !answer.truncation {
            return Ok(answer);
        }
        let stream = TcpClientStream::exchange(server, None, ASK_TIMEOUT, None, provider);
        let by_tcp = stream.await.map_err(silent)?;
        question(&by_tcp, asked, kind).await.map_err(silent)
    }
}

impl Seen {
    /// Of an answer's records: those of the type asked for that the question leads to, directly or by aliases.
    fn of(records: &[Record], asked: &Name, kind: RecordType) -> Self {
        let names = chain(records, asked);
        let alias = names.last().filter(|_| names.len() > 1).map(spelled);
        let of_type = |record: &&Record| record.record_type() == kind;
        let ours: Vec<&Record> =
            records.iter().filter(|record| names.contains(&record.name)).collect();
        Self {
            records: ours
                .iter()
                .copied()
                .filter(of_type)
                .map(|record| text(&record.data))
                .collect(),
            ttl_seconds: ours.iter().map(|record| record.ttl).min().unwrap_or_default(),
            alias,
        }
    }

    /// What a server refers to for `name`: the records of its authority section.
    pub fn in_referral(answer: &DnsResponse, name: &str, kind: RecordType) -> Self {
        absolute(name)
            .map_or_else(|_| Self::default(), |name| Self::of(&answer.authorities, &name, kind))
    }

    /// What came along with a server's answer.
    pub fn in_additional(answer: &DnsResponse, name: &str, kind: RecordType) -> Self {
        absolute(name)
            .map_or_else(|_| Self::default(), |name| Self::of(&answer.additionals, &name, kind))
    }

    /// What a server said to the question for `name`.
    pub fn in_answer(answer: &DnsResponse, name: &str, kind: RecordType) -> Self {
        absolute(name)
            .map_or_else(|_| Self::default(), |name| Self::of(&answer.answers, &name, kind))
    }
}

/// The name asked for, and where CNAME records lead from it, one after the other.
fn chain(records: &[Record], asked: &Name) -> Vec<Name> {
    let mut names = vec![asked.clone()];
    for _ in records {
        let at = names.last();
        let leads = |record: &&Record| Some(&record.name) == at;
        let next = records.iter().filter(leads).find_map(|record| {
            let RData::CNAME(target) = &record.data else { return None };
            Some(target.0.clone())
        });
        let Some(next) = next.filter(|next| !names.contains(next)) else { break };
        names.push(next);
    }
    names
}

/// Names without the last dot, TXT without quotes: as people write them.
fn text(data: &RData) -> String {
    if let RData::TXT(txt) = data {
        return txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect();
    }
    if let RData::NS(name) = data {
        return spelled(name);
    }
    data.to_string()
}

async fn question(
    exchange: &DnsExchange<TokioRuntimeProvider>,
    name: Name,
    kind: RecordType,
) -> Result<DnsResponse, NetError> {
    let mut options = DnsRequestOptions::default();
    options.recursion_desired = false;
    exchange.lookup(Query::query(name, kind), options).first_answer().await
}

fn is_negative(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return false };
    [ResponseCode::NoError, ResponseCode::NXDomain].contains(&none.response_code)
}

fn unusable(error: NetError) -> LookupError {
    LookupError::System(Box::new(error))
}

fn failed(who: &str, name: &str, source: NetError) -> LookupError {
    LookupError::Failed { who: who.to_owned(), name: name.to_owned(), source: Box::new(source) }
}

fn set_options(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.attempts = 2;
    options.timeout = RESOLVER_TIMEOUT;
}

const DNS_PORT: u16 = 53;
const RESOLVER_TIMEOUT: Duration = Duration::from_secs(3);
