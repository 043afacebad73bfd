//! slowhttptest: a thousand visitors at each door who take their time, in each of its four ways. All are dropped on the relay's
//! deadlines, by its kernel too, and somebody who only wants a page gets every one.

use std::time::{Duration, Instant};

use bore_tests::curl::curl;
use bore_tests::lab::{RELAY, RELAY_V6};
use bore_tests::length::Length;
use bore_tests::metrics::Metrics;
use bore_tests::namespace::Namespace;
use bore_tests::process::Process;
use bore_tests::secured::Secured;

use crate::scene::{self, HOST, PLAIN_HOST};

#[test]
fn attack_20_slow_visitors_are_dropped_on_deadlines_and_a_good_one_is_served() {
    let (scene, _nginx) = scene::start_impatient();
    std::fs::write(scene::files(&scene).join("large"), vec![b'.'; LARGE_BYTES]).unwrap();
    let _published = scene::publish(&scene);
    let _plain = scene.agent.publish(&["http", "3000", "--name", "plain"]);
    scene.relay.wait_for_state("plain", "live");

    let third = scene.lab.second_agent();
    third.set_hosts(&[(HOST, RELAY.into()), (PLAIN_HOST, RELAY.into())]);
    let (visitor, colleague) = (&scene.lab.visitor, &scene.lab.colleague);
    // No source has more places than 512 at a door.
    let all = [
        (Way::Headers, visitor),
        (Way::Range, visitor),
        (Way::Body, colleague),
        (Way::Read, &third),
    ];
    let ways = all.get(..Length::pick(1, 4, 4)).unwrap();
    let mut attacks: Vec<Attack> = ways
        .iter()
        .flat_map(|(way, from)| DOORS.map(|door| Attack::start(*way, door, from)))
        .collect();

    let served = serve_the_good_one_until(&scene, || {
        let dropped = attacks.iter_mut().all(Attack::is_dropped);
        dropped && deadlines(&scene.relay.metrics(), ways.len()).is_ok() && held(&scene) == 0
    });
    println!(
        "{} slow connections; the good visitor {served:?}",
        CONNECTIONS as usize * attacks.len()
    );
    attacks.iter().for_each(Attack::demand_dropped);
    assert_eq!(deadlines(&scene.relay.metrics(), ways.len()), Ok(()));
}

/// Of slowhttptest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A head that never ends.
    Headers,
    /// A body that hardly comes.
    Body,
    /// An answer that is hardly taken.
    Read,
    /// A thousand ranges of one page.
    Range,
}

/// Host and scheme: one is served by HTTPS, one by plain HTTP.
const DOORS: [&str; 2] = ["https://app.t.test", "http://plain.t.test"];

struct Attack {
    way: Way,
    process: Process,
}

impl Attack {
    fn start(way: Way, door: &str, from: &Namespace) -> Self {
        // It looks at its connections without a pause, and may do so when nobody else wants the processor.
        let mut command = from.command("nice");
        command.args(["-n", "19", "slowhttptest"]);
        command.args(["-c", &CONNECTIONS.to_string(), "-r", &CONNECTIONS.to_string()]);
        command.args(["-l", &PATIENCE.as_secs().to_string()]);
        command.args(match way {
            Way::Headers => &["-H", "-i", "5", "-x", "8"][..],
            // 12 bytes each 5 seconds.
            Way::Body => &["-B", "-t", "PUT", "-i", "5", "-x", "10", "-s", "100000"],
            Way::Read => &["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"],
            Way::Range => &["-R", "-a", "5", "-b", "1000"],
        });
        let path = match way {
            Way::Headers | Way::Range => "/",
            Way::Body => "/uploads/slow",
            Way::Read => "/files/large",
        };
        let process = Process::start("slowhttptest", {
            command.args(["-u", &format!("{door}{path}")]);
            command
        });
        Self { way, process }
    }

    /// One that hardly reads learns of its end when it has read what it has.
    fn is_dropped(&mut self) -> bool {
        self.way == Way::Read || !self.process.is_running()
    }

    /// It ended because the last of its connections was closed, not because its time was over.
    fn demand_dropped(&self) {
        let text = self.process.text();
        let ended = text.contains("No open connections left");
        assert!(ended || self.way == Way::Read, "{:?}: {text}", self.way);
    }
}

#[derive(Debug, Default)]
struct Served {
    requests: u32,
    slowest: Duration,
}

/// One request after the other at both doors until everything is over.
fn serve_the_good_one_until(scene: &Secured, mut is_over: impl FnMut() -> bool) -> Served {
    let mut served = Served::default();
    let began = Instant::now();
    let pins = [format!("{HOST}:443:[{RELAY_V6}]"), format!("{PLAIN_HOST}:80:[{RELAY_V6}]")];
    while !is_over() {
        let passed = began.elapsed();
        let state = || (deadlines(&scene.relay.metrics(), 4), held(scene));
        assert!(passed < PATIENCE, "after {passed:?}: {:?}", state());
        for (pin, door) in pins.iter().zip(DOORS) {
            let asked = Instant::now();
            let arguments =
                ["--cacert", &scene::roots(scene), "--resolve", pin, &format!("{door}/")];
            let answer = curl(&scene.lab.visitor, &arguments);
            assert_eq!(answer.status, 200, "{door} after {passed:?}: {answer:?}");
            served.slowest = served.slowest.max(asked.elapsed());
            served.requests += 1;
        }
    }
    served
}

/// Each way has met its own deadline, at both doors, on every connection; of those that hardly read, the kernel may be the first to drop some.
fn deadlines(metrics: &Metrics, ways: usize) -> Result<(), String> {
    let at_both_doors = f64::from(CONNECTIONS) * 2.0;
    for (deadline, from, wanted) in
        [("Head", 1, at_both_doors), ("Body", 3, at_both_doors), ("Drain", 4, 1.0)]
    {
        let series = format!("bore_edge_connections_expired_total{{deadline=\"{deadline}\"}}");
        let expired = metrics.series(&series);
        if ways >= from && expired < wanted {
            return Err(format!("{deadline}: {expired} of {wanted}"));
        }
    }
    Ok(())
}

/// Connections by IPv4, by which only the slow ones come, that the relay's kernel still keeps.
fn held(scene: &Secured) -> usize {
    let doors = "( sport = :443 or sport = :80 )";
    let filter = ["-4", "-Htn", "state", "connected", "exclude", "time-wait", doors];
    scene.lab.relay.run("ss", &filter).lines().filter(|line| !line.contains(AGENT)).count()
}

const CONNECTIONS: u32 = 250;
const LARGE_BYTES: usize = 16 << 20;
/// More than every deadline of the edge and its kernel.
const PATIENCE: Duration = Duration::from_secs(150);
/// The agent visits what it has published.
const AGENT: &str = "198.51.100.2";
