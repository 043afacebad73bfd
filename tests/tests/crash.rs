//! `kill -9` of the relay at random moments under changes over its API: what was acknowledged is there, nothing else is, and the
//! audit chain verifies. On SQLite and on PostgreSQL.
//!
//! The moments and the changes follow from one seed, which is printed; `BORE_TEST_SEED` takes it back. The relay runs on
//! loopback, on ports that the kernel chose.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops where it fails, and its figures are for the person who ran it"
)]

#[path = "crash/api.rs"]
mod api;
#[path = "crash/ledger.rs"]
mod ledger;
#[expect(dead_code, reason = "the faults of a server have a test of their own")]
#[path = "../../relay/control/tests/support/postgres.rs"]
mod postgres;
#[path = "crash/relay.rs"]
mod relay;
#[path = "crash/writer.rs"]
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bore_tests::length::Length;
use bore_tests::wait::{SOON, until};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::ledger::Observed;
use crate::relay::Relay;
use crate::writer::Writer;

#[test]
fn every_acknowledged_change_survives_kill_9_on_sqlite() {
    crash("sqlite", None);
}

#[test]
fn every_acknowledged_change_survives_kill_9_on_postgresql() {
    let server = postgres::Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    crash("postgresql", Some(&runtime.block_on(server.database())));
}

fn crash(database: &str, database_url: Option<&str>) {
    let began = Instant::now();
    let seed = seed();
    println!("{database}: BORE_TEST_SEED={seed}");
    let mut story = Story::begin(seed, database_url);
    let kills = Length::pick(10, 100, 100);
    for _ in 0..kills {
        story.write_until_killed();
        story.restart_and_check();
    }
    story.relay.verify_by_command();
    println!(
        "{database}: {kills} kills ({} while starting), {} acknowledged changes, {} cut off, of which {} were made; slowest restart {:.2?}; {:.1?}",
        story.killed_starting,
        story.acknowledged,
        story.cut_off,
        story.made_unheard,
        story.slowest_restart,
        began.elapsed()
    );
    let enough = story.acknowledged >= kills * WRITES_BETWEEN_KILLS_MIN;
    assert!(enough, "{} changes are no load", story.acknowledged);
}

struct Story {
    relay: Relay,
    writers: Vec<Writer>,
    random: SmallRng,
    /// Rows of the audit trail that were there before the first change, or came while nobody wrote.
    rows_before: u64,
    acknowledged: u64,
    cut_off: u64,
    made_unheard: u64,
    killed_starting: u64,
    slowest_restart: Duration,
}

impl Story {
    fn begin(seed: u64, database_url: Option<&str>) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut relay = Relay::init(database_url);
        relay.start();
        let keys =
            (0..WRITERS).map(|number| relay.administrator().admin_key(&format!("writer-{number}")));
        let writers =
            keys.enumerate().map(|(number, key)| Writer::new(number, key, random.random()));
        let writers = writers.collect();
        let rows_before = relay.verified_rows();
        Self {
            relay,
            writers,
            random,
            rows_before,
            acknowledged: 0,
            cut_off: 0,
            made_unheard: 0,
            killed_starting: 0,
            slowest_restart: Duration::ZERO,
        }
    }

    /// All writers write until the relay dies under them.
    fn write_until_killed(&mut self) {
        let wanted = self.random.random_range(WRITES_BETWEEN_KILLS_MIN..WRITES_BETWEEN_KILLS_MAX);
        let moment = Duration::from_micros(self.random.random_range(0..MOMENT_MICROS_MAX));
        let (api, network) = (self.relay.api(), self.relay.network().to_owned());
        let acknowledged = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for writer in &mut self.writers {
                let (acknowledged, network) = (&acknowledged, network.as_str());
                scope.spawn(move || writer.write_until_cut_off(api, network, acknowledged));
            }
            until("enough changes", SOON, || {
                (acknowledged.load(Ordering::Acquire) >= wanted).then_some(())
            });
            // The moment itself is what is random here, down to between two instructions of a commit.
            std::thread::sleep(moment);
            self.relay.kill();
        });
        self.acknowledged += acknowledged.into_inner();
    }

    fn restart_and_check(&mut self) {
        let began = Instant::now();
        if self.random.random_ratio(1, 8) {
            let moment = self.random.random_range(0..START_MICROS_MAX);
            self.relay.kill_while_starting(Duration::from_micros(moment));
            self.killed_starting += 1;
        }
        self.relay.start();
        self.slowest_restart = self.slowest_restart.max(began.elapsed());
        let observed = Observed::of(&self.relay);
        for writer in &mut self.writers {
            let cut_off = writer.ledger.check(&observed);
            self.cut_off += u64::from(cut_off.is_some());
            self.made_unheard += u64::from(cut_off == Some(true));
        }
        let rows = self.relay.verified_rows() - self.rows_before;
        assert_eq!(
            rows,
            self.acknowledged + self.made_unheard,
            "one row of the trail for each change"
        );
    }
}

fn seed() -> u64 {
    let given = std::env::var("BORE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| rand::rng().random())
}

const WRITERS: usize = 4;
const WRITES_BETWEEN_KILLS_MIN: u64 = 8;
const WRITES_BETWEEN_KILLS_MAX: u64 = 60;
/// Some changes long.
const MOMENT_MICROS_MAX: u64 = 20_000;
/// From the first instruction to open doors.
const START_MICROS_MAX: u64 = 150_000;
