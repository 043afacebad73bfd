//! Machines that fail in every usual way: the agent and the relay serve throughout, or are back by themselves within seconds, and lose
//! nothing that was acknowledged.
//!
//! | | agent | relay |
//! |---|---|---|
//! | disk full | [`agent::full_disk`] | [`relay::full_disk`] |
//! | read-only, EIO | [`agent::failing_disk`] | [`relay::failing_disk`] |
//! | no descriptors | [`agent::no_descriptors`] | [`relay::no_descriptors`] |
//! | memory short | [`agent::short_memory`] | [`relay::short_memory`] |
//! | frozen | [`agent::frozen`] | [`relay::frozen`] |
//! | clock jumps | [`agent::clock_jumps`] | [`relay::clock_jumps`] |
//! | power loss | [`agent::power_loss`] | [`relay::power_loss`] |
//! | database cut | | [`relay::database_cut`] |
//! | network late | [`agent::late_network`] | |

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops where it fails, and its figures are for the person who ran it"
)]

#[path = "chaos/agent.rs"]
mod agent;
#[path = "../../relay/control/tests/support/postgres.rs"]
mod postgres;
#[path = "chaos/relay.rs"]
mod relay;
#[path = "chaos/scene.rs"]
mod scene;

use std::time::Instant;

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::scene::Scene;

type Case = (&'static str, fn(&mut Scene));

const AGENT: [Case; 8] = [
    ("disk full", agent::full_disk),
    ("EIO and read-only", agent::failing_disk),
    ("no descriptors", agent::no_descriptors),
    ("memory short", agent::short_memory),
    ("frozen", agent::frozen),
    ("clock jumps", agent::clock_jumps),
    ("power loss", agent::power_loss),
    ("network late", agent::late_network),
];

const RELAY: [Case; 7] = [
    ("disk full", relay::full_disk),
    ("EIO and read-only", relay::failing_disk),
    ("no descriptors", relay::no_descriptors),
    ("memory short", relay::short_memory),
    ("frozen", relay::frozen),
    ("clock jumps", relay::clock_jumps),
    ("power loss", relay::power_loss),
];

#[test]
fn an_agent_on_a_failing_machine_serves_or_comes_back() {
    run(&mut Scene::live(None), &AGENT);
}

#[test]
fn a_relay_on_a_failing_machine_serves_or_comes_back() {
    run(&mut Scene::live(None), &RELAY);
}

#[test]
fn a_relay_with_postgresql_serves_or_comes_back() {
    let server = postgres::Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = runtime.block_on(server.database());
    let mut scene = Scene::live(Some(&url));
    relay::database_cut(&mut scene, || runtime.block_on(end_connections(&url)));
    scene.demand_kept();
    run(&mut scene, &[("frozen", relay::frozen), ("power loss", relay::power_loss)]);
}

async fn end_connections(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    connection.execute(others).await.unwrap();
}

fn run(scene: &mut Scene, cases: &[Case]) {
    for (name, case) in cases {
        let began = Instant::now();
        case(scene);
        scene.demand_kept();
        println!("{name}: {:.1?}", began.elapsed());
    }
}
