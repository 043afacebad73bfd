//! A PostgreSQL server of the test's own: Debian's binaries, a private folder, a Unix socket and no port.
//!
//! [`Server::start`] makes the cluster and waits until it takes connections; dropping the server, which a panic does too, stops it and
//! removes the folder that it made. Should the test be killed, the kernel stops the server with it. Writes are synced, as in production.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
    binaries: PathBuf,
    databases: AtomicU32,
    /// The folder, unless another process owns it.
    _own: Option<tempfile::TempDir>,
}

impl Server {
    /// Makes a cluster in a temporary folder and starts it.
    pub(crate) fn start() -> Self {
        let own = tempfile::tempdir().unwrap();
        let mut server = Self::start_in(own.path());
        server._own = Some(own);
        server
    }

    /// Makes a cluster in a folder that exists and starts it.
    pub(crate) fn start_in(folder: &Path) -> Self {
        let (binaries, folder) = (installed(), folder.to_owned());
        give_to_server_user(&folder);
        initialise(&binaries, &folder);
        let process = run(&binaries, &folder);
        Self { process, folder, binaries, databases: AtomicU32::new(0), _own: None }
    }

    /// Adds an empty database and tells its URL.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    /// The process that starts all others of the server.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Starts the server again if it has ended, as a service manager does.
    pub(crate) fn revive(&mut self) {
        if self.process.try_wait().unwrap().is_some() {
            self.process = run(&self.binaries, &self.folder);
        }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.join("data");
        let stopped = as_server_user(&self.binaries.join("pg_ctl"))
            .args(["stop", "--silent", "--mode=immediate", "--pgdata"])
            .arg(data)
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            drop(self.process.kill());
        }
        drop(self.process.wait());
    }
}

/// The folder of Debian's newest PostgreSQL.
fn installed() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    versions
        .map(|version| version.unwrap().path().join("bin"))
        .filter(|binaries| binaries.join("initdb").exists())
        .max()
        .expect("PostgreSQL is not installed: run `cargo xtask setup`")
}

fn initialise(binaries: &Path, folder: &Path) {
    let done = as_server_user(&binaries.join("initdb"))
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
        // Segments of the log that a small disk has room for.
        .args(["--wal-segsize=1", "--no-sync", "--no-instructions", "--pgdata"])
        .arg(folder.join("data"))
        .output()
        .unwrap();
    assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
}

/// Starts the server and returns once it has said that it is ready.
fn run(binaries: &Path, folder: &Path) -> Child {
    let mut process = as_server_user(&binaries.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "max_connections=300", "-c", "fsync=on"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let ready = log.by_ref().any(|line| {
        said.push(line);
        said.last().is_some_and(|line| line.contains("ready to accept connections"))
    });
    assert!(ready, "PostgreSQL did not start: {}", said.join("\n"));
    // A full pipe would stop the server.
    std::thread::spawn(move || log.for_each(drop));
    process
}

/// A command that runs as `postgres` when the test runs as root, which the server refuses, and that ends when the test does.
fn as_server_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg(program).env("LC_ALL", "C").current_dir("/");
    command
}

fn give_to_server_user(folder: &Path) {
    if is_root() {
        let done = Command::new("chown").arg("postgres:").arg(folder).status().unwrap();
        assert!(done.success(), "no user `postgres`: run `cargo xtask setup`");
    }
}

/// Whether the test runs as root: `/proc/self` belongs to the process's user.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
