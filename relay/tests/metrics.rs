//! Every metric is described, is valid OpenMetrics, and moves: a real relay is visited, served, refused and attacked over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]

#[path = "metrics/exposed.rs"]
mod exposed;
#[path = "metrics/hostile.rs"]
mod hostile;
#[path = "metrics/names.rs"]
mod names;
#[path = "relay_lab/mod.rs"]
mod relay_lab;
#[path = "metrics/scenes.rs"]
mod scenes;
#[path = "metrics/still.rs"]
mod still;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use bore_relay::{BuiltIn, DnsProvider};
use exposed::Exposed;
use relay_lab::{Agent, Lab};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_series_moves_or_it_is_said_why_a_test_cannot_move_it() {
    let lab = Lab::start_with(|config| {
        config.handshakes_per_second_max = std::num::NonZeroU32::new(40).unwrap();
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.dns =
            Some(DnsProvider::BuiltIn(BuiltIn { listen, addresses: Vec::new(), caa: true }));
    })
    .await;
    let before = Exposed::parse(&lab.scrape().await);
    let agent = Agent::join(&lab, "laptop").await;

    scenes::tcp(&lab, &agent).await;
    scenes::udp(&lab, &agent).await;
    let visitor = scenes::http(&lab, &agent).await;
    scenes::nobody(&agent).await;
    names::ask(&lab).await;
    let during = lab.until_scraped(|text| !text.contains("\nbore_edge_connections_open 0\n")).await;
    let during = Exposed::parse(&during);
    drop(visitor);
    scenes::doors(&lab).await;
    scenes::roaming(&lab, &agent).await;
    scenes::removal(&lab, agent).await;
    hostile::stranger(&lab).await;
    hostile::flood(&lab).await;
    for _ in 0..10 {
        hostile::datagrams(lab.at().overlay);
        // The relay has read them before more come.
        drop(at_rest(&lab).await);
    }

    let after = at_rest(&lab).await;
    let still: BTreeSet<&str> = after
        .series()
        // The buckets of a histogram move with its count, each for some durations only.
        .filter(|(series, _)| !series.contains("_bucket{"))
        .filter(|(series, value)| {
            before.value(series) == Some(*value) && during.value(series) == Some(*value)
        })
        .map(|(series, _)| series)
        .collect();
    let excused: BTreeSet<&str> = still::EXCUSED.iter().map(|(series, _)| *series).collect();
    let unexcused: Vec<_> = still.difference(&excused).collect();
    let needless: Vec<_> = excused
        .iter()
        .filter(|series| !still.contains(*series) && !still::MAY_MOVE.contains(series))
        .collect();
    assert!(unexcused.is_empty(), "did not move: {unexcused:#?}");
    assert!(needless.is_empty(), "excused, and moved or gone: {needless:#?}");
    lab.stop().await;
}

/// A scrape that shows all that was sent: the one before it had no datagram less.
async fn at_rest(lab: &Lab) -> Exposed {
    let mut last = Exposed::parse(&lab.scrape().await);
    loop {
        let next = Exposed::parse(&lab.scrape().await);
        let received = "bore_overlay_datagrams_received_total";
        if next.value(received) == last.value(received) {
            return next;
        }
        last = next;
    }
}

#[tokio::test]
async fn the_handbook_describes_what_is_exposed_and_nothing_else() {
    let lab = Lab::start().await;
    let exposed = Exposed::parse(&lab.scrape().await);
    let rows = exposed::handbook(include_str!("../../docs/metrics.md"));
    assert_eq!(exposed.families(), rows, "left: /metrics, right: docs/metrics.md");
    lab.stop().await;
}

#[tokio::test]
async fn a_strict_parser_takes_what_is_exposed() {
    let lab = Lab::start().await;
    let text = lab.scrape().await;
    lab.stop().await;
    let parse = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\nprint(len(list(parse(sys.stdin.read()))))";
    let mut parser = Command::new(PYTHON)
        .args(["-c", parse])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let done = parser.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}\n(without prometheus_client: cargo xtask setup)");
    let families: usize = String::from_utf8_lossy(&done.stdout).trim().parse().unwrap();
    assert_eq!(families, Exposed::parse(&text).families().len());
}

/// That of Debian, which its packages belong to.
const PYTHON: &str = "/usr/bin/python3";
