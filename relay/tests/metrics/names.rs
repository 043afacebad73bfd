//! Everything that the DNS server counts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use bore_relay::dns::limits::TCP_CONNECTIONS_PER_SOURCE_MAX;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

use crate::relay_lab::Lab;

pub(crate) async fn ask(lab: &Lab) {
    let (at, proof) = (lab.at().dns.unwrap(), "_acme-challenge.test.example");
    for number in 0..12 {
        lab.relay.txt_records().unwrap().publish(proof, &format!("{number:0>120}")).await.unwrap();
    }
    tokio::task::spawn_blocking(move || everything(at, proof)).await.unwrap();
}

fn everything(at: SocketAddr, proof: &str) {
    let mut update = question("test.example", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    let mut two = question("test.example", RecordType::A);
    two.queries.push(two.queries[0].clone());
    let kinds = [
        question("test.example", RecordType::A),
        question("absent.test.example", RecordType::A),
        question("example.org", RecordType::A),
        update,
        two,
    ];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(at).unwrap();
    let mut answer = question("test.example", RecordType::A);
    answer.metadata.message_type = MessageType::Response;
    socket.send(&answer.to_vec().unwrap()).unwrap();
    for message in kinds {
        by_datagram(&socket, &message);
        let mut stream = TcpStream::connect(at).unwrap();
        assert_ne!(by_tcp(&mut stream, &message.to_vec().unwrap()), 0);
    }
    by_datagram(&socket, &question(proof, RecordType::TXT));
    for _ in 0..600 {
        by_datagram(&socket, &question("test.example", RecordType::SOA));
    }
    let held: Vec<_> =
        (0..=TCP_CONNECTIONS_PER_SOURCE_MAX).map(|_| TcpStream::connect(at).unwrap()).collect();
    let mut last = held.last().unwrap();
    assert_eq!(last.read(&mut [0]).unwrap_or(0), 0, "one too many");
    drop(held);
    while by_tcp(&mut TcpStream::connect(at).unwrap(), &[0; 5_000]) != 0 {}
}

fn by_datagram(socket: &UdpSocket, message: &Message) {
    socket.send(&message.to_vec().unwrap()).unwrap();
    socket.recv(&mut [0; 2048]).unwrap();
}

/// The size of the answer, 0 where there is none.
fn by_tcp(stream: &mut TcpStream, message: &[u8]) -> usize {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    let mut answered = [0; 2];
    let sent = stream.write_all(&[&length, message].concat());
    let read = sent.and_then(|()| stream.read_exact(&mut answered));
    read.map_or(0, |()| usize::from(u16::from_be_bytes(answered)))
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message
}
