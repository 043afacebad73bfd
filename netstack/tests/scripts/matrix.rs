//! Each state and each segment: where it leads, and what is answered.
//!
//! Rows are the states of RFC 9293 §3.3.2, columns segments that begin where the peer's stream stands and acknowledge nothing new, unless
//! they say otherwise. An answer stands behind the new state; without one there is none within 25 ms.

use crate::script::{Peer, Script};
use crate::segment::{Segment, ack, data, fin, reset, syn};

#[test]
fn every_segment_in_every_state_leads_where_the_rfc_says() {
    let actual: String = ROWS.iter().map(|build| row(*build)).collect();
    assert!(actual == EXPECTED, "{actual}");
}

const EXPECTED: &str = "\
SYN-SENT
  FIN              SYN-SENT     -
  RST exact        CLOSED       -
  RST in window    CLOSED       -
  RST outside      CLOSED       -
  SYN in window    SYN-RECEIVED syn 0..1 ack 2
  SYN outside      SYN-RECEIVED syn 0..1 ack -998
  data             SYN-SENT     -
  data outside     SYN-SENT     -
  ACK of unsent    SYN-SENT     rst 9000
  no ACK           SYN-SENT     -
SYN-RECEIVED
  FIN              CLOSE-WAIT   1 ack 2
  RST exact        CLOSED       -
  RST in window    SYN-RECEIVED -
  RST outside      SYN-RECEIVED -
  SYN in window    SYN-RECEIVED -
  SYN outside      SYN-RECEIVED -
  data             ESTABLISHED  1 ack 101
  data outside     SYN-RECEIVED -
  ACK of unsent    SYN-RECEIVED rst 9000
  no ACK           SYN-RECEIVED -
ESTABLISHED
  FIN              CLOSE-WAIT   1 ack 2
  RST exact        CLOSED       -
  RST in window    ESTABLISHED  1 ack 1
  RST outside      ESTABLISHED  -
  SYN in window    ESTABLISHED  1 ack 1
  SYN outside      ESTABLISHED  1 ack 1
  data             ESTABLISHED  1 ack 101
  data outside     ESTABLISHED  1 ack 1
  ACK of unsent    ESTABLISHED  1 ack 1
  no ACK           ESTABLISHED  -
FIN-WAIT-1
  FIN              CLOSING      2 ack 2
  RST exact        CLOSED       -
  RST in window    FIN-WAIT-1   2 ack 1
  RST outside      FIN-WAIT-1   -
  SYN in window    FIN-WAIT-1   2 ack 1
  SYN outside      FIN-WAIT-1   2 ack 1
  data             FIN-WAIT-1   2 ack 101
  data outside     FIN-WAIT-1   2 ack 1
  ACK of unsent    FIN-WAIT-1   2 ack 1
  no ACK           FIN-WAIT-1   -
FIN-WAIT-2
  FIN              TIME-WAIT    2 ack 2
  RST exact        CLOSED       -
  RST in window    FIN-WAIT-2   2 ack 1
  RST outside      FIN-WAIT-2   -
  SYN in window    FIN-WAIT-2   2 ack 1
  SYN outside      FIN-WAIT-2   2 ack 1
  data             FIN-WAIT-2   2 ack 101
  data outside     FIN-WAIT-2   2 ack 1
  ACK of unsent    FIN-WAIT-2   2 ack 1
  no ACK           FIN-WAIT-2   -
CLOSE-WAIT
  FIN              CLOSE-WAIT   1 ack 2
  RST exact        CLOSED       -
  RST in window    CLOSE-WAIT   1 ack 2
  RST outside      CLOSE-WAIT   -
  SYN in window    CLOSE-WAIT   1 ack 2
  SYN outside      CLOSE-WAIT   1 ack 2
  data             CLOSE-WAIT   1 ack 2
  data outside     CLOSE-WAIT   1 ack 2
  ACK of unsent    CLOSE-WAIT   1 ack 2
  no ACK           CLOSE-WAIT   -
CLOSING
  FIN              CLOSING      2 ack 2
  RST exact        CLOSED       -
  RST in window    CLOSING      2 ack 2
  RST outside      CLOSING      -
  SYN in window    CLOSING      2 ack 2
  SYN outside      CLOSING      2 ack 2
  data             CLOSING      2 ack 2
  data outside     CLOSING      2 ack 2
  ACK of unsent    CLOSING      2 ack 2
  no ACK           CLOSING      -
LAST-ACK
  FIN              LAST-ACK     2 ack 2
  RST exact        CLOSED       -
  RST in window    LAST-ACK     2 ack 2
  RST outside      LAST-ACK     -
  SYN in window    LAST-ACK     2 ack 2
  SYN outside      LAST-ACK     2 ack 2
  data             LAST-ACK     2 ack 2
  data outside     LAST-ACK     2 ack 2
  ACK of unsent    LAST-ACK     2 ack 2
  no ACK           LAST-ACK     -
TIME-WAIT
  FIN              TIME-WAIT    2 ack 2
  RST exact        TIME-WAIT    -
  RST in window    TIME-WAIT    -
  RST outside      TIME-WAIT    -
  SYN in window    TIME-WAIT    -
  SYN outside      TIME-WAIT    -
  data             TIME-WAIT    2 ack 2
  data outside     TIME-WAIT    2 ack 2
  ACK of unsent    TIME-WAIT    -
  no ACK           TIME-WAIT    2 ack 2
";

/// A state, its script, where the peer's stream stands, and what the peer has acknowledged.
type Build = fn() -> (&'static str, Script, i32, i32);

const ROWS: [Build; 9] = [
    syn_sent,
    syn_received,
    established,
    fin_wait_1,
    fin_wait_2,
    close_wait,
    closing,
    last_ack,
    time_wait,
];

fn row(build: Build) -> String {
    let (name, _, next, acknowledged) = build();
    let mut text = format!("{name}\n");
    for (event, segment) in events(next, acknowledged) {
        let (_, mut script, ..) = build();
        assert_eq!(script.state(), name);
        let soon = script.now_ms() + 25;
        script.inject(segment).by(soon);
        let answers: Vec<String> = script.take().iter().map(Segment::to_string).collect();
        let answer = if answers.is_empty() { "-".to_owned() } else { answers.join(", ") };
        text += &format!("  {event:<16} {:<12} {answer}\n", script.state());
    }
    text
}

fn events(next: i32, acknowledged: i32) -> [(&'static str, Segment); 10] {
    let plain = |segment: Segment| segment.acks(acknowledged);
    [
        ("FIN", plain(fin(next))),
        ("RST exact", plain(reset(next))),
        ("RST in window", plain(reset(next + 100))),
        ("RST outside", plain(reset(next + 100_000_000))),
        ("SYN in window", syn(next)),
        ("SYN outside", syn(next - 1_000)),
        ("data", plain(data(next, 100))),
        ("data outside", plain(data(next + 100_000_000, 100))),
        ("ACK of unsent", ack(9_000).at(next)),
        ("no ACK", data(next, 100).acks_nothing()),
    ]
}

fn syn_sent() -> (&'static str, Script, i32, i32) {
    let mut script = Script::calling(Peer::default());
    script.by(0).take();
    ("SYN-SENT", script, 1, 1)
}

fn syn_received() -> (&'static str, Script, i32, i32) {
    let mut script = Script::called(Peer::default());
    script.at(0);
    ("SYN-RECEIVED", script, 1, 1)
}

fn established() -> (&'static str, Script, i32, i32) {
    ("ESTABLISHED", Script::accepted(Peer::default()), 1, 1)
}

fn fin_wait_1() -> (&'static str, Script, i32, i32) {
    let (_, mut script, ..) = established();
    script.shutdown().take();
    ("FIN-WAIT-1", script, 1, 1)
}

fn fin_wait_2() -> (&'static str, Script, i32, i32) {
    let (_, mut script, ..) = fin_wait_1();
    script.inject(ack(2));
    ("FIN-WAIT-2", script, 1, 2)
}

fn close_wait() -> (&'static str, Script, i32, i32) {
    let (_, mut script, ..) = established();
    script.inject(fin(1)).take();
    ("CLOSE-WAIT", script, 2, 1)
}

fn closing() -> (&'static str, Script, i32, i32) {
    let (_, mut script, ..) = fin_wait_1();
    script.inject(fin(1).acks(1)).take();
    ("CLOSING", script, 2, 1)
}

fn last_ack() -> (&'static str, Script, i32, i32) {
    let (_, mut script, ..) = close_wait();
    script.shutdown().take();
    ("LAST-ACK", script, 2, 1)
}

fn time_wait() -> (&'static str, Script, i32, i32) {
    let (_, mut script, ..) = closing();
    script.inject(ack(2));
    ("TIME-WAIT", script, 2, 2)
}
