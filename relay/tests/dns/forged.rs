//! Replies that nobody asked for, and records that nobody may give.

use std::net::{SocketAddr, UdpSocket};

use bore_relay::dns::lookups::{Lookups, Seen};
use hickory_proto::op::{Message, MessageType, Query};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Attack 28: a wrong id, a wrong port, another question, and a record of a name that is none of the server's business.
#[tokio::test(flavor = "multi_thread")]
async fn attack_28_forged_replies_are_ignored() {
    let server = forger();
    let lookups = Lookups::through(server, server.port()).unwrap();
    let answer = lookups.ask(server, NAME, RecordType::TXT).await.unwrap();
    assert_eq!(Seen::in_answer(&answer, NAME, RecordType::TXT).records, ["true"]);
    let seen = lookups.seen(NAME, RecordType::TXT).await.unwrap();
    assert_eq!(seen.records, ["true"], "the system's resolver is no more trusted than that");
}

/// Sends three forged replies before the true one, which brings along what does not belong to it.
fn forger() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::from_vec(&buffer[..count]).unwrap();
            let mut wrong_id = reply(&asked, "wrong id");
            wrong_id.metadata.id = asked.id.wrapping_add(1);
            let mut other_question = reply(&asked, "other question");
            other_question.queries = vec![Query::query(name("other.example"), RecordType::TXT)];
            let mut good = reply(&asked, "true");
            good.add_answer(txt("_acme-challenge.victim.example", "out of bailiwick"));
            good.add_additional(txt(NAME, "not an answer"));
            let wrong_port = reply(&asked, "wrong port");
            for (socket, message) in [
                (&socket, wrong_id),
                (&elsewhere, wrong_port),
                (&socket, other_question),
                (&socket, good),
            ] {
                socket.send_to(&message.to_vec().unwrap(), from).unwrap();
            }
        }
    });
    at
}

fn reply(asked: &Message, value: &str) -> Message {
    let mut message = asked.clone();
    message.metadata.message_type = MessageType::Response;
    message.metadata.authoritative = true;
    message.add_answer(txt(NAME, value));
    message
}

fn txt(owner: &str, value: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::TXT(TXT::new(vec![value.to_owned()])))
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

const NAME: &str = "_acme-challenge.t.example.org";
