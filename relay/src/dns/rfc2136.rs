//! Updates of a zone on its primary server (RFC 2136), signed with TSIG (RFC 8945), by TCP.
//!
//! hickory signs the update and checks the signature of the answer: an answer that is not signed with the key counts for nothing.

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::xfer::{DnsExchange, FirstAnswer as _};
use hickory_net::{DnsHandle as _, DnsMultiplexer, NetError};
use hickory_proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Message, ResponseCode, update_message,
};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, TSigner};

use super::limits::{ASK_TIMEOUT, TXT_TTL_SECONDS};
use super::lookups::Lookups;
use super::txt::{TxtError, TxtRecords};
use super::visible;
use super::zone::{absolute, spelled};
use crate::config::{ConfigError, Rfc2136 as Settings, TsigAlgorithm};

/// A zone on a primary server.
pub struct Rfc2136 {
    server: SocketAddr,
    zone: Name,
    signer: TSigner,
    lookups: Lookups,
}

impl Rfc2136 {
    /// Checks name and secret of the key.
    ///
    /// # Errors
    /// When one of them cannot be.
    pub fn new(settings: &Settings, lookups: Lookups) -> Result<Self, ConfigError> {
        let wrong = |key, why: String| ConfigError::Value { key, why };
        let secret = data_encoding::BASE64.decode(settings.key.expose().as_bytes());
        let secret = secret.map_err(|error| {
            wrong("dns.tsig_key_file", format!("{error}: a TSIG secret is base64"))
        })?;
        let key_name = absolute(&settings.key_name)
            .map_err(|error| wrong("dns.tsig_key_name", error.to_string()))?;
        let zone =
            absolute(&settings.zone).map_err(|error| wrong("dns.zone", error.to_string()))?;
        let signer = TSigner::new(secret, settings.algorithm.into(), key_name, FUDGE_SECONDS)
            .map_err(|error| wrong("dns.tsig_algorithm", error.to_string()))?;
        Ok(Self { server: settings.server, zone, signer, lookups })
    }

    async fn update(
        &self,
        name: &str,
        message: impl FnOnce(RecordSet, Name) -> Message,
        value: &str,
    ) -> Result<(), TxtError> {
        let records = self.records(name, value)?;
        let message = message(records, self.zone.clone());
        let answer = self.send(message).await.map_err(|error| {
            self.refused(name, format!("{} did not take the update: {error}", self.server))
        })?;
        if answer.response_code == ResponseCode::NoError {
            return Ok(());
        }
        Err(self.refused(name, self.remedy(answer.response_code)))
    }

    fn records(&self, name: &str, value: &str) -> Result<RecordSet, TxtError> {
        let unfit = |cause| TxtError::Name { provider: PROVIDER, name: name.to_owned(), cause };
        let owner = absolute(name).map_err(|error| unfit(error.to_string()))?;
        if !self.zone.zone_of(&owner) {
            return Err(unfit(format!("the zone is {}", spelled(&self.zone))));
        }
        let data = RData::TXT(TXT::new(vec![value.to_owned()]));
        Ok(Record::from_rdata(owner, TXT_TTL_SECONDS, data).into())
    }

    async fn send(&self, message: Message) -> Result<DnsResponse, NetError> {
        let provider = TokioRuntimeProvider::default();
        let (connecting, sender) =
            TcpClientStream::new(self.server, None, Some(ASK_TIMEOUT), provider);
        let stream = DnsMultiplexer::new(connecting.await?, sender)
            .with_timeout(ASK_TIMEOUT)
            .with_signer(self.signer.clone());
        let (exchange, background) = DnsExchange::<TokioRuntimeProvider>::from_stream::<_>(stream);
        let driving = tokio::spawn(background);
        let request = DnsRequest::new(message, DnsRequestOptions::default());
        let answer = exchange.send(request).first_answer().await;
        driving.abort();
        answer
    }

    fn remedy(&self, code: ResponseCode) -> String {
        let (zone, key) = (spelled(&self.zone), self.signer.signer_name());
        let why = if code == ResponseCode::NotAuth {
            format!("NOTAUTH: it does not keep {zone}, or does not know the key {key}")
        } else if code == ResponseCode::Refused {
            format!(
                "REFUSED: its update policy must let the key {key} change TXT records in {zone}"
            )
        } else if code == ResponseCode::NotZone {
            "NOTZONE: set dns.zone to the zone that it keeps".to_owned()
        } else {
            code.to_string()
        };
        format!("{} says {why}", self.server)
    }

    fn refused(&self, name: &str, cause: String) -> TxtError {
        TxtError::Provider { provider: PROVIDER, name: name.to_owned(), cause }
    }
}

#[async_trait]
impl TxtRecords for Rfc2136 {
    async fn publish(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.update(
            name,
            |records, zone| update_message::append(records, zone, false, false),
            value,
        )
        .await?;
        visible::wait(&self.lookups, PROVIDER, name, value).await
    }

    async fn withdraw(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.update(
            name,
            |records, zone| update_message::delete_by_rdata(records, zone, false),
            value,
        )
        .await
    }
}

impl fmt::Debug for Rfc2136 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rfc2136")
            .field("server", &self.server)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

impl From<TsigAlgorithm> for Algorithm {
    fn from(algorithm: TsigAlgorithm) -> Self {
        match algorithm {
            TsigAlgorithm::HmacSha256 => Self::HmacSha256,
            TsigAlgorithm::HmacSha384 => Self::HmacSha384,
            TsigAlgorithm::HmacSha512 => Self::HmacSha512,
        }
    }
}

const PROVIDER: &str = "RFC 2136";
/// How far the two clocks may be apart (RFC 8945 §10).
const FUDGE_SECONDS: u16 = 300;
