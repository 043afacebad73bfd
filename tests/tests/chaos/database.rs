//! What happens to the machine of the database server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bore_tests::bore::Relay;
use bore_tests::fault::SmallDisk;
use bore_tests::wait::{SOON, until};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::postgres::Server;
use crate::scene::{BACK, Scene, Told};

/// A PostgreSQL server whose data is on a small disk of its own.
pub(crate) struct Database {
    server: Server,
    disk: SmallDisk,
    _folder: TempDir,
    runtime: Runtime,
    pub(crate) url: String,
}

impl Database {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(folder.path(), DISK_KIBIBYTES);
        let server = Server::start_in(folder.path());
        let runtime = crate::runtime();
        let url = runtime.block_on(server.database());
        Self { server, disk, _folder: folder, runtime, url }
    }

    /// Every process of the server stands still: connections are open, and nothing answers.
    fn freeze(&self) {
        // None comes of the first while it stands still.
        signal(self.server.id(), Signal::STOP);
        children_of(self.server.id()).into_iter().for_each(|child| signal(child, Signal::STOP));
    }

    fn thaw(&self) {
        children_of(self.server.id()).into_iter().for_each(|child| signal(child, Signal::CONT));
        signal(self.server.id(), Signal::CONT);
    }

    /// Writes to the server's log until it finds no room for it, which ends every session, and mostly the server.
    fn break_log(&self) {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let message = "SELECT pg_logical_emit_message(false, 'ballast', repeat('x', 65536))";
            while connection.execute(message).await.is_ok() {}
        });
    }

    /// As a service manager does it, once there is room: a server that tries by itself may give up first.
    fn revive(&mut self) {
        until("the server to be back", SOON, || {
            self.server.revive();
            self.runtime.block_on(PgConnection::connect(&self.url)).ok()
        });
    }

    /// Names of all groups that are in the database, each of which has its row in the audit trail.
    fn groups(&self) -> Vec<String> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let names = sqlx::query_scalar("SELECT name FROM node_groups ORDER BY name");
            let names: Vec<String> = names.fetch_all(&mut connection).await.unwrap();
            let rows = "SELECT count(*) FROM audit WHERE action = 'group.create'";
            let rows: i64 = sqlx::query_scalar(rows).fetch_one(&mut connection).await.unwrap();
            assert_eq!(
                usize::try_from(rows).unwrap(),
                names.len(),
                "one row for each of {names:?}"
            );
            names
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that stands still cannot be stopped.
        self.thaw();
    }
}

/// Dropped, it is the end.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// For longer than the relay waits for any answer.
pub(crate) fn frozen(scene: &mut Scene, database: &mut Database) {
    let is_over = AtomicBool::new(false);
    let Scene { relay, agent, network, lab, .. } = scene;
    let (relay, network, lab) = (&*relay, network.as_str(), &*lab);
    let told = std::thread::scope(|scope| {
        let is_over = &is_over;
        // Also when something here fails, or the writers would write for ever.
        let ending = Ending(is_over);
        let writers =
            [1, 2, 3, 4].map(|writer| scope.spawn(move || write(relay, network, writer, is_over)));
        until("changes to be under way", SOON, || (relay.list("groups").len() > 8).then_some(()));

        database.freeze();
        let began = Instant::now();
        // A request at once gets the age of the last success.
        until("health to know", SOON, || (health(relay) == 503).then_some(()));
        agent.kill();
        agent.start();
        until("visitors to be served", SOON, || Scene::visit(lab).ok());
        while began.elapsed() < FROST {
            Scene::visit(lab).unwrap();
            assert_eq!(health(relay), 503);
        }
        database.thaw();
        let began = Instant::now();
        until("health to be well again", BACK, || (health(relay) == 200).then_some(()));
        println!("  healthy again after {:.1?}", began.elapsed());
        drop(ending);
        writers.map(|writer| writer.join().unwrap())
    });
    scene.demand_writes_back();
    demand_true(scene, database, &told.concat());
}

/// The relay ends in time, and one that is started says why it does not run.
pub(crate) fn frozen_at_the_start(scene: &mut Scene, database: &mut Database) {
    database.freeze();
    scene.relay.stop();
    let config = scene.relay.config().display().to_string();
    let mut refused = scene.relay.launch(&["relay", "run", "--config", &config]);
    assert!(!refused.wait(SOON).success());
    assert!(refused.text().contains("database"), "{}", refused.text());
    database.thaw();
    scene.relay.run();
    scene.demand_back();
}

/// First the tables have no room, then the server's log, at which it breaks off.
pub(crate) fn full_disk(scene: &mut Scene, database: &mut Database) {
    database.disk.fill();
    let refused = until("a change to be refused", SOON, || scene.write().err());
    assert!(refused.contains("B6101"), "{refused}");
    scene.demand_served();

    database.break_log();
    let refused = scene.write().unwrap_err();
    assert!(refused.contains("B610"), "{refused}");
    assert_ne!(health(&scene.relay), 200);
    scene.demand_served();

    database.disk.empty();
    database.revive();
    scene.demand_writes_back();
    demand_true(scene, database, &[]);
}

/// Makes one change after the other and notes what the relay answered to each.
fn write(relay: &Relay, network: &str, writer: u32, is_over: &AtomicBool) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        told.push(Told::of(relay, network, format!("writer-{writer}-{}", told.len())));
    }
    told
}

/// What everybody was told is true, and the relay knows what the database knows.
fn demand_true(scene: &Scene, database: &Database, told: &[Told]) {
    let stored = database.groups();
    let mut known: Vec<String> =
        scene.relay.list("groups").iter().map(|group| group["name"].to_string()).collect();
    known.iter_mut().for_each(|name| *name = name.trim_matches('"').to_owned());
    known.sort();
    assert_eq!(known, stored, "in the relay and in the database");
    for change in told {
        assert!(change.is_answered() && change.took < ANSWERED, "{change:?}");
        let is_stored = stored.contains(&change.name);
        assert!(is_stored || !change.is_made(), "lost: {change:?}");
        assert!(!is_stored || !change.is_not_made(), "made all the same: {change:?}");
    }
    let refused = told.iter().filter(|change| !change.is_made()).count();
    println!("  {} changes told true, {refused} of them refused", told.len());
}

/// The status, which comes in time whatever the database does.
fn health(relay: &Relay) -> u16 {
    let began = Instant::now();
    let status = relay.api("GET", "/v1/health", None).status;
    assert!(began.elapsed() < HEALTH_ANSWERED, "{:?}", began.elapsed());
    status
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// `pid (name) state parent …`; the name may hold anything.
fn parent_of(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    status.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn signal(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).unwrap();
    // One that has ended meanwhile needs none.
    let _ = kill_process(process, signal);
}

/// A cluster of its own takes a third of it.
const DISK_KIBIBYTES: u32 = 64 << 10;
/// Longer than a statement, a connection and a request may take.
const FROST: Duration = Duration::from_secs(40);
/// A request is answered in 30 s, whatever becomes of it.
const ANSWERED: Duration = Duration::from_secs(32);
/// A supervisor that restarts the relay reads its health.
const HEALTH_ANSWERED: Duration = Duration::from_secs(4);
