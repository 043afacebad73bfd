//! Requests as bytes, well made and not.

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::*;
use crate::dns::zone::Standing;

#[test]
fn a_question_comes_back_spelled_as_it_was_asked() {
    let response = ask(&question("ApP.t.ExAmPlE.org", RecordType::A), Transport::Udp);
    let message = Message::from_vec(&response.bytes).unwrap();
    assert!(message.authoritative && !message.recursion_available && !message.truncation);
    assert_eq!(message.queries[0].name().to_ascii(), "ApP.t.ExAmPlE.org.");
    assert_eq!(message.answers[0].name.to_ascii(), "ApP.t.ExAmPlE.org.");
}

#[test]
fn what_does_not_fit_comes_back_as_its_question_alone_and_whole_by_tcp() {
    let zone = zone();
    let challenge = "_acme-challenge.t.example.org";
    for number in 0..10 {
        zone.publish_txt(challenge, &format!("{number:>200}")).unwrap();
    }
    for (edns, bytes_max) in [(None, 512), (Some(1232), 1232), (Some(65_535), 1232)] {
        let request = with_edns(question(challenge, RecordType::TXT), edns);
        let cut = respond(&zone, &bytes(&request), source(), Transport::Udp).unwrap();
        let message = Message::from_vec(&cut.bytes).unwrap();
        assert!(cut.truncated && message.truncation && cut.bytes.len() <= bytes_max);
        assert!(message.answers.is_empty(), "no part of a set");
        assert_eq!(message.edns.is_some(), edns.is_some());
        assert!(cut.bytes.len() <= bytes(&request).len(), "no larger than what was sent");
        let whole = respond(&zone, &bytes(&request), source(), Transport::Tcp).unwrap();
        assert_eq!(Message::from_vec(&whole.bytes).unwrap().answers.len(), 10);
    }
}

#[test]
fn an_answer_is_never_answered() {
    let mut message = question("app.t.example.org", RecordType::A);
    message.metadata.message_type = MessageType::Response;
    assert_eq!(respond(&zone(), &bytes(&message), source(), Transport::Udp), None);
    assert_eq!(respond(&zone(), &[0; 11], source(), Transport::Udp), None, "shorter than a header");
}

#[test]
fn what_is_not_one_readable_question_is_a_form_error_of_a_headers_size() {
    let mut two = question("app.t.example.org", RecordType::A);
    two.add_query(Query::query(Name::root(), RecordType::A));
    let mut none = two.clone();
    none.queries.clear();
    let mut cut = bytes(&question("app.t.example.org", RecordType::A));
    cut.truncate(20);
    let mut counts = bytes(&question("app.t.example.org", RecordType::A));
    counts[10..12].copy_from_slice(&[0xff, 0xff]);
    for request in [bytes(&two), bytes(&none), cut, counts] {
        let response = respond(&zone(), &request, source(), Transport::Udp).unwrap();
        assert_eq!((response.code, response.bytes.len()), (ResponseCode::FormErr, 12));
        assert_eq!(response.bytes[..2], request[..2], "the same id");
    }
}

#[test]
fn other_operations_versions_and_classes_are_told_apart() {
    let plain = || question("app.t.example.org", RecordType::A);
    let mut update = plain();
    update.metadata.op_code = OpCode::Update;
    assert_eq!(ask(&update, Transport::Udp).code, ResponseCode::NotImp);

    let mut version = with_edns(plain(), Some(1232));
    version.edns.as_mut().unwrap().set_version(1);
    let response = ask(&version, Transport::Udp);
    assert_eq!(response.code, ResponseCode::BADVERS);
    let message = Message::from_vec(&response.bytes).unwrap();
    assert_eq!(u16::from(message.response_code), 16, "high bits travel in EDNS");

    let mut chaos = plain();
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(ask(&chaos, Transport::Udp).code, ResponseCode::Refused);
}

proptest! {
    /// Garbage never panics; what is answered fits, keeps the id, and its brief form is no larger than what was sent.
    #[test]
    fn garbage_is_answered_small_or_not_at_all(request in proptest::collection::vec(any::<u8>(), 0..700)) {
        check(&request)?;
    }

    /// The same for questions of which a few bytes are wrong.
    #[test]
    fn damaged_questions_too(at in proptest::collection::vec((0_usize..64, any::<u8>()), 0..4), edns: bool) {
        let request = with_edns(question("app.t.example.org", RecordType::ANY), edns.then_some(4096));
        let mut request = bytes(&request);
        for (place, byte) in at {
            if let Some(target) = request.get_mut(place) {
                *target = byte;
            }
        }
        check(&request)?;
    }
}

fn check(request: &[u8]) -> Result<(), TestCaseError> {
    for transport in [Transport::Udp, Transport::Tcp] {
        let Some(response) = respond(&zone(), request, source(), transport) else { continue };
        prop_assert_eq!(&response.bytes[..2], &request[..2]);
        prop_assert!(response.bytes.len() <= usize::from(UDP_ANSWER_BYTES_MAX));
        prop_assert!(response.brief.len() <= request.len());
        prop_assert!(Message::from_vec(&response.bytes).is_ok());
    }
    Ok(())
}

fn ask(request: &Message, transport: Transport) -> Response {
    respond(&zone(), &bytes(request), source(), transport).unwrap()
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind));
    message
}

fn with_edns(mut message: Message, payload: Option<u16>) -> Message {
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

fn zone() -> Zone {
    let standing = |name: &str| match name {
        "app.t.example.org" => Standing::Published,
        _ => Standing::Absent,
    };
    let zone = Zone::new("t.example.org", "relay.example.org", 7, Box::new(standing)).unwrap();
    zone.set_addresses(vec!["203.0.113.1".parse().unwrap()]);
    zone
}

fn source() -> SocketAddr {
    "192.0.2.9:5353".parse().unwrap()
}
