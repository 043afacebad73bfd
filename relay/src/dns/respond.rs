//! From the bytes of a request to the bytes of its answer; no IO.
//!
//! hickory reads and writes the messages. What is decided here: what is answered at all, with which code, and how large.
//!
//! | request | answer |
//! |---|---|
//! | shorter than a header, or itself an answer | none: answering answers makes loops |
//! | not exactly one question, or not readable | FORMERR, its header only |
//! | an operation other than QUERY | NOTIMP |
//! | EDNS of a version above 0 | BADVERS (RFC 6891 §6.1.3) |
//! | a class other than IN | REFUSED |
//! | anything else | what [`Zone::answer`] says |
//!
//! Invariant: an answer in a datagram fits what its client takes and [`UDP_ANSWER_BYTES_MAX`]; one that does not is truncated to its question.
//!
//! Source: RFC 1035 §4, RFC 2181 §9, RFC 6891, RFC 9619 (one question).

use std::net::SocketAddr;

use hickory_net::xfer::Protocol;
use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Record};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncoder};
use hickory_server::server::Request;
use hickory_server::zone_handler::MessageResponseBuilder;
use prometheus_client::encoding::EncodeLabelValue;

use super::limits::{
    PLAIN_UDP_ANSWER_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_RECORDS_MAX, UDP_ANSWER_BYTES_MAX,
};
use super::zone::{Answer, Zone};

/// What a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Transport {
    /// A datagram, whose source may be forged.
    Udp,
    /// A connection.
    Tcp,
}

/// An answer, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The message.
    pub bytes: Vec<u8>,
    /// Its code.
    pub code: ResponseCode,
    /// Whether only the question came back.
    pub truncated: bool,
    /// The same answer with nothing but the question, for a source that must not get more than it sent.
    pub brief: Vec<u8>,
}

/// Answers a request from `source`; `None` when it must not be answered.
pub fn respond(
    zone: &Zone,
    request: &[u8],
    source: SocketAddr,
    transport: Transport,
) -> Option<Response> {
    let header = Header::read(&mut BinDecoder::new(request)).ok()?;
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    let Some(request) = read(&header, request, source, transport) else {
        return malformed(&header.metadata);
    };
    let answer = decide(zone, &request);
    let edns = request.edns.as_ref().map(|_| own_edns());
    let bytes_max = bytes_max(&request, transport);
    let brief = encode(&request, &without_records(answer.code), edns.as_ref(), true, bytes_max)?;
    match encode(&request, &answer, edns.as_ref(), false, bytes_max) {
        Some(bytes) => Some(Response { bytes, code: answer.code, truncated: false, brief }),
        None => Some(Response { bytes: brief.clone(), code: answer.code, truncated: true, brief }),
    }
}

/// The request as hickory reads it. The counts of the header are looked at first: the reader sets space aside for as many.
fn read(
    header: &Header,
    request: &[u8],
    source: SocketAddr,
    transport: Transport,
) -> Option<Request> {
    let counts = &header.counts;
    let records = [counts.answers, counts.authorities, counts.additionals];
    let fits = counts.queries == 1
        && records.iter().all(|count| *count <= REQUEST_RECORDS_MAX)
        && request.len() <= REQUEST_BYTES_MAX;
    let protocol = match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    };
    fits.then(|| Request::from_bytes(request.to_vec(), source, protocol).ok()).flatten()
}

fn decide(zone: &Zone, request: &Request) -> Answer {
    let [question] = request.queries.queries() else {
        return without_records(ResponseCode::FormErr);
    };
    if request.metadata.op_code != OpCode::Query {
        return without_records(ResponseCode::NotImp);
    }
    if request.version() > 0 {
        return without_records(ResponseCode::BADVERS);
    }
    if question.query_class() != DNSClass::IN {
        return without_records(ResponseCode::Refused);
    }
    zone.answer(question.original().name(), question.query_type())
}

fn encode(
    request: &Request,
    answer: &Answer,
    edns: Option<&Edns>,
    truncated: bool,
    bytes_max: u16,
) -> Option<Vec<u8>> {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.authoritative = matches!(answer.code, ResponseCode::NoError | ResponseCode::NXDomain);
    metadata.response_code = answer.code;
    metadata.truncation = truncated;
    metadata.recursion_available = false;
    let none: [Record; 0] = [];
    let response = MessageResponseBuilder::new(&request.queries, edns).build(
        metadata,
        answer.answers.iter(),
        none.iter(),
        answer.soa.iter(),
        none.iter(),
    );
    let mut bytes = Vec::with_capacity(usize::from(PLAIN_UDP_ANSWER_BYTES_MAX));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(bytes_max);
    let info = response.destructive_emit(&mut encoder).ok()?;
    // What hickory left out makes a truncated answer, which has no records here at all (RFC 2181 §9).
    (info.truncation == truncated).then_some(bytes)
}

/// What the client says it takes, but never more than fits every path.
fn bytes_max(request: &Request, transport: Transport) -> u16 {
    match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => PLAIN_UDP_ANSWER_BYTES_MAX,
        (Transport::Udp, Some(_)) => request.max_payload().min(UDP_ANSWER_BYTES_MAX),
    }
}

fn own_edns() -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_ANSWER_BYTES_MAX);
    edns
}

fn malformed(request: &Metadata) -> Option<Response> {
    let message = Message::error_msg(request.id, request.op_code, ResponseCode::FormErr);
    let bytes = message.to_vec().ok()?;
    let brief = bytes.clone();
    Some(Response { bytes, code: ResponseCode::FormErr, truncated: false, brief })
}

fn without_records(code: ResponseCode) -> Answer {
    Answer { code, answers: Vec::new(), soa: None }
}

#[cfg(test)]
mod tests;
