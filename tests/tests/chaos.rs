//! Machines that fail in every usual way: the agent and the relay serve throughout, or are back by themselves within seconds, and lose
//! nothing that was acknowledged.
//!
//! | | agent | relay | relay with PostgreSQL |
//! |---|---|---|---|
//! | disk full | [`agent::full_disk`] | [`relay::full_disk`] | [`relay::failing_folder`] |
//! | read-only, EIO | [`agent::failing_disk`] | [`relay::failing_disk`] | [`relay::failing_folder`] |
//! | read-only at the start | [`agent::read_only_at_start`] | it does not start | |
//! | read-only under open files | [`broken::is_survived`] | [`broken::is_survived`] | |
//! | no descriptors | [`agent::no_descriptors`] | [`relay::no_descriptors`] | the same |
//! | memory short | [`agent::short_memory`] | [`relay::short_memory`] | the same |
//! | frozen | [`agent::frozen`] | [`relay::frozen`] | the same |
//! | clock jumps | [`agent::clock_jumps`] | [`relay::clock_jumps`] | the same |
//! | power loss | [`agent::power_loss`] | [`relay::power_loss`] | the same |
//! | database cut, killed | | | [`relay::database_cut`] |
//! | database server frozen | | | [`database::frozen`], [`database::frozen_at_the_start`] |
//! | database server's disk full | | | [`database::full_disk`] |
//! | killed behind a join | | [`relay::killed_behind_a_join`] | |
//! | network late | [`agent::late_network`] | | |
//!
//! EIO and EROFS that come and go are made by a library that is preloaded: device mapper targets (dm-error, dm-flakey) need `CONFIG_BLK_DEV_DM`, which
//! kernels of small virtual machines lack. The read-only cell with open files is a real ext4 on a loop device.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops where it fails, and its figures are for the person who ran it"
)]

#[path = "chaos/agent.rs"]
mod agent;
#[path = "chaos/broken.rs"]
mod broken;
#[path = "chaos/database.rs"]
mod database;
#[path = "../../relay/control/tests/support/postgres.rs"]
mod postgres;
#[path = "chaos/relay.rs"]
mod relay;
#[path = "chaos/scene.rs"]
mod scene;

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::runtime::Runtime;

use crate::database::Database;
use crate::scene::Scene;

type Case = (&'static str, fn(&mut Scene));

const AGENT: [Case; 9] = [
    ("disk full", agent::full_disk),
    ("EIO and read-only", agent::failing_disk),
    ("read-only at the start", agent::read_only_at_start),
    ("no descriptors", agent::no_descriptors),
    ("memory short", agent::short_memory),
    ("frozen", agent::frozen),
    ("clock jumps", agent::clock_jumps),
    ("power loss", agent::power_loss),
    ("network late", agent::late_network),
];

const RELAY: [Case; 8] = [
    ("killed behind a join", relay::killed_behind_a_join),
    ("disk full", relay::full_disk),
    ("EIO and read-only", relay::failing_disk),
    ("no descriptors", relay::no_descriptors),
    ("memory short", relay::short_memory),
    ("frozen", relay::frozen),
    ("clock jumps", relay::clock_jumps),
    ("power loss", relay::power_loss),
];

/// What concerns the database alone is done to its server: [`DATABASE`].
const POSTGRES: [Case; 6] = [
    ("state folder full, EIO and read-only", relay::failing_folder),
    ("no descriptors", relay::no_descriptors),
    ("memory short", relay::short_memory),
    ("frozen", relay::frozen),
    ("clock jumps", relay::clock_jumps),
    ("power loss", relay::power_loss),
];

type DatabaseFault = fn(&mut Scene, &mut Database);

const DATABASE: [(&str, DatabaseFault); 3] = [
    ("database server frozen", database::frozen),
    ("database server frozen at the start", database::frozen_at_the_start),
    ("database server's disk full", database::full_disk),
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
    let (server, runtime) = (postgres::Server::start(), runtime());
    let url = runtime.block_on(server.database());
    let mut scene = Scene::live(Some(&url));
    relay::database_cut(&mut scene, || runtime.block_on(end_connections(&url)));
    scene.demand_kept();
    relay::database_cut(&mut scene, || runtime.block_on(kill_a_session(&url)));
    run(&mut scene, &POSTGRES);
}

#[test]
fn a_relay_whose_database_server_fails_serves_on_and_takes_changes_again() {
    let mut database = Database::start();
    let mut scene = Scene::live(Some(&database.url));
    for (name, case) in DATABASE {
        let began = Instant::now();
        case(&mut scene, &mut database);
        scene.demand_kept();
        println!("{name}: {:.1?}", began.elapsed());
    }
}

#[test]
fn disks_that_turn_read_only_under_open_files_are_survived() {
    broken::is_survived();
}

async fn end_connections(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    connection.execute(others).await.unwrap();
}

/// The server ends all sessions then, and recovers from its log.
async fn kill_a_session(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let other = "SELECT pid FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() LIMIT 1";
    let pid: i32 = sqlx::query_scalar(other).fetch_one(&mut connection).await.unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn run(scene: &mut Scene, cases: &[Case]) {
    for (name, case) in cases {
        let began = Instant::now();
        case(scene);
        scene.demand_kept();
        println!("{name}: {:.1?}", began.elapsed());
    }
}
