//! The measured programs: started with configurations of their own, watched through /proc, ended by id.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::certificate::{self, Certified};

/// A relay with its configuration.
pub(crate) struct Relay {
    bore: PathBuf,
    folder: PathBuf,
    process: Measured,
    pub(crate) join_key: String,
    pub(crate) overlay_port: u16,
    pub(crate) https_port: u16,
}

/// In what a relay differs from one that was just set up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// Agents reach it at this port.
    pub(crate) announced_port: Option<u16>,
    /// It shows this certificate, and hostnames are published below its domain.
    pub(crate) certified: Option<&'a Certified>,
}

/// A running program.
pub(crate) struct Measured(Child);

impl Relay {
    /// Sets a relay up below `folder` and starts it.
    pub(crate) fn start(bore: &Path, folder: &Path, setup: Setup<'_>) -> Result<Self> {
        let (overlay_port, https_port) = (free_udp_port()?, free_tcp_port()?);
        let config = folder.join("relay.toml");
        let announced = setup.announced_port.unwrap_or(overlay_port);
        let first_key = init(bore, folder, &config, announced, https_port, setup.certified)?;
        if setup.announced_port.is_some() {
            listen_elsewhere(&config, &on_loopback(overlay_port))?;
        }
        let process = run_relay(bore, &config)?;
        let relay = Self {
            bore: bore.to_owned(),
            folder: folder.to_owned(),
            process,
            join_key: String::new(),
            overlay_port,
            https_port,
        };
        // A key made by the running relay names the port that it listens on; the one made before names the announced one.
        let join_key = match setup.announced_port {
            Some(_) => first_key,
            None => relay.create_join_key()?,
        };
        Ok(Self { join_key, ..relay })
    }

    pub(crate) fn process(&self) -> &Measured {
        &self.process
    }

    /// Kills it, as a power cut would, and starts it again.
    pub(crate) fn kill_and_restart(&mut self) -> Result<()> {
        self.process.0.kill()?;
        self.process.0.wait()?;
        self.process = run_relay(&self.bore, &self.folder.join("relay.toml"))?;
        Ok(())
    }

    fn create_join_key(&self) -> Result<String> {
        let config = self.folder.join("relay.toml");
        let key = Command::new(&self.bore)
            .args(["-q", "key", "create", "--uses", "0"])
            .env("BORE_RELAY_CONFIG", &config)
            .env("BORE_API", api_url(&config)?)
            .env("BORE_API_KEY_FILE", self.folder.join("relay/admin.key"))
            .output()?;
        if !key.status.success() {
            return Err(format!("key create: {}", String::from_utf8_lossy(&key.stderr)).into());
        }
        Ok(String::from_utf8(key.stdout)?.trim().to_owned())
    }
}

/// `relay init`, and the certificate; the join key that it printed.
fn init(
    bore: &Path,
    folder: &Path,
    config: &Path,
    announced: u16,
    https_port: u16,
    certified: Option<&Certified>,
) -> Result<String> {
    let mut command = Command::new(bore);
    command.args(["-q", "relay", "init", "--host", "127.0.0.1"]);
    for (flag, port) in [
        ("--overlay-listen", announced),
        ("--http-listen", free_tcp_port()?),
        ("--https-listen", https_port),
        ("--api-listen", free_tcp_port()?),
        ("--metrics-listen", free_tcp_port()?),
    ] {
        command.args([flag, &on_loopback(port)]);
    }
    command.arg("--config").arg(config).arg("--relay-state").arg(folder.join("relay"));
    command.args(certified.iter().flat_map(|_| ["--domain", certificate::DOMAIN]));
    let made = command.output()?;
    if !made.status.success() {
        return Err(format!("relay init: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    if let Some(certified) = certified {
        let text = fs::read_to_string(config)?;
        fs::write(config, text + &certified.as_configuration())?;
    }
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// Agents were told the announced port; the relay itself listens behind whatever stands there.
fn listen_elsewhere(config: &Path, listen: &str) -> Result<()> {
    let text = fs::read_to_string(config)?;
    let lines = text.lines().map(|line| match line.starts_with("overlay_listen") {
        true => format!("overlay_listen = \"{listen}\""),
        false => line.to_owned(),
    });
    fs::write(config, lines.collect::<Vec<_>>().join("\n"))?;
    Ok(())
}

fn on_loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn run_relay(bore: &Path, config: &Path) -> Result<Measured> {
    let (relay, _started) = Measured::start_and_read(
        Command::new(bore).args(["--json", "relay", "run", "--config"]).arg(config),
    )?;
    Ok(relay)
}

/// An agent that has joined.
pub(crate) struct Node {
    process: Measured,
    bore: PathBuf,
    state: PathBuf,
}

impl Node {
    /// Joins with this key; its folder is below `folder`.
    pub(crate) fn join(bore: &Path, folder: &Path, join_key: &str) -> Result<Self> {
        let (state, key_file) = (folder.join("agent"), folder.join("key"));
        fs::write(&key_file, join_key)?;
        let mut command = Command::new(bore);
        command.args(["-q", "join", "--key-file"]).arg(&key_file).arg("--state").arg(&state);
        let process = Measured::start(&mut command)?;
        let began = Instant::now();
        while !state.join("agent.sock").exists() {
            if began.elapsed() > PATIENCE {
                return Err("the agent did not join".into());
            }
            std::thread::sleep(POLL);
        }
        Ok(Self { process, bore: bore.to_owned(), state })
    }

    /// `bore publish` with these arguments, left to the agent.
    pub(crate) fn publish(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.bore);
        command.args(["-q", "publish"]).args(arguments).args(["--bg", "--state"]).arg(&self.state);
        let published = command.output()?;
        if !published.status.success() {
            return Err(format!("publish: {}", String::from_utf8_lossy(&published.stderr)).into());
        }
        Ok(())
    }

    pub(crate) fn process(&self) -> &Measured {
        &self.process
    }
}

impl Measured {
    /// Starts any program.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// The same; also its first line, which says that it is up.
    pub(crate) fn start_and_read(command: &mut Command) -> Result<(Self, String)> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let started = Self(child);
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next().ok_or("it ended at once")??;
        // The rest is read, so that it never blocks on it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok((started, first))
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
    }

    /// Processor time used so far, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        processor_time(self.0.id())
    }

    /// The same with the processes that it started and that still run.
    pub(crate) fn cpu_of_family(&self) -> Result<Duration> {
        let id = self.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        children
            .split_whitespace()
            .try_fold(self.cpu()?, |sum, child| Ok(sum + processor_time(child.parse()?)?))
    }
}

fn processor_time(id: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * MILLISECONDS_PER_TICK))
}

impl Drop for Measured {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn api_url(config: &Path) -> Result<String> {
    let text = fs::read_to_string(config)?;
    let line = text.lines().find(|line| line.starts_with("api_listen")).ok_or("no api_listen")?;
    Ok(format!("http://{}", line.split('"').nth(1).ok_or("no address")?))
}

/// A port that was free a moment ago.
pub(crate) fn free_tcp_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The same for UDP.
pub(crate) fn free_udp_port() -> Result<u16> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Looks until there is something, or gives the last error when it has taken too long.
pub(crate) async fn patiently<T>(look: impl AsyncFn() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        match look().await {
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(POLL).await,
            found => return found,
        }
    }
}

/// Linux reports processor time in ticks of 10 ms.
const MILLISECONDS_PER_TICK: u64 = 10;
/// How long anything may take to come up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked for.
pub(crate) const POLL: Duration = Duration::from_millis(20);
