//! h2load: many requests on many streams, which are no flood.

use bore_tests::blob::{Blob, sha256_of};
use bore_tests::length::Length;
use bore_tests::secured::Secured;

use crate::scene::{self, HOST};

#[test]
fn ten_thousand_requests_over_many_streams_are_answered_and_no_flood() {
    let (scene, _nginx) = scene::start();
    let _published = scene::publish(&scene);
    let requests = Length::pick(10_000, 20_000, 200_000);
    let url = format!("https://{HOST}/");
    // One connection with every stream that it may have, then many.
    for (connections, streams) in [(1, 128), (4, 100), (100, 10)] {
        let asked = [
            ("--requests", requests.to_string()),
            ("--clients", connections.to_string()),
            ("--max-concurrent-streams", streams.to_string()),
        ];
        demand_all_answered(&scene, &asked, requests, &url);
    }
}

#[test]
fn uploads_over_many_streams_are_answered_and_no_flood() {
    let (scene, nginx) = scene::start();
    let _published = scene::publish(&scene);
    let small = scene.lab.file("small", &"a form that somebody sends\n".repeat(40));
    let large = Blob::new(1);
    // What nginx answers at once, and what it takes to the end.
    for (body, path, requests, streams) in [
        (small, "", Length::pick(10_000, 20_000, 200_000), 128),
        (large.path(), "uploads/copy", Length::pick(400, 2_000, 10_000), 32),
    ] {
        let method = if path.is_empty() { "POST" } else { "PUT" };
        let asked = [
            ("--requests", requests.to_string()),
            ("--clients", "4".to_owned()),
            ("--max-concurrent-streams", streams.to_string()),
            ("--data", body.display().to_string()),
            ("--header", format!(":method: {method}")),
        ];
        demand_all_answered(&scene, &asked, requests, &format!("https://{HOST}/{path}"));
    }
    assert_eq!(sha256_of(&nginx.upload("copy")), large.sha256());
}

/// Every single request is answered with 2xx.
fn demand_all_answered(scene: &Secured, asked: &[(&str, String)], requests: u32, url: &str) {
    let mut command = scene.lab.visitor.command("h2load");
    command.args(asked.iter().flat_map(|(flag, value)| [*flag, value.as_str()]));
    let text = bore_tests::namespace::must_run(command.arg(url));
    println!("{asked:?}: {}", line(&text, "finished in"));
    assert!(text.contains("Application protocol: h2\n"), "{text}");
    demand_unpunished(scene);
    let wanted = format!(
        "{requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout"
    );
    assert_eq!(line(&text, "requests: "), wanted, "{text}");
    let wanted = format!("{requests} 2xx, 0 3xx, 0 4xx, 0 5xx");
    assert_eq!(line(&text, "status codes: "), wanted, "{text}");
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

/// No connection met a limit or a deadline.
fn demand_unpunished(scene: &Secured) {
    let metrics = scene.relay.metrics();
    for name in ["bore_edge_connections_limited_total", "bore_edge_connections_expired_total"] {
        assert_eq!(metrics.total(name).to_bits(), 0.0_f64.to_bits(), "{name}");
    }
}
