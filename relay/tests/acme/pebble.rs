//! Pebble and its DNS helper, real programs on loopback: no fixed port, a CA of their own for their API, and an end with the test.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bore_relay::acme::{CaRoots, Wire};
use bore_relay::dns::{TxtError, TxtRecords};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::lab::{PACE, until_some};
use super::visits::Doors;

/// A CA that runs.
pub(crate) struct Pebble {
    ca: Program,
    dns: Program,
    /// What a relay asks: a door before the CA that can be shut.
    front: u16,
    open: Arc<AtomicBool>,
    management: u16,
    folder: tempfile::TempDir,
}

/// How a CA is to behave.
#[derive(Debug, Default, Clone)]
pub(crate) struct Manners {
    /// Good nonces of a hundred that it refuses.
    pub(crate) nonces_refused: u8,
    /// Accounts have to be bound to these.
    pub(crate) eab: Option<(&'static str, &'static str)>,
}

impl Pebble {
    pub(crate) async fn start(doors: Doors, manners: &Manners) -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_certificates(folder.path());
        let [api, front, management, dns] = free_ports();
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{api}"),
            "managementListenAddress": "",
            "certificate": folder.path().join("pebble.pem"),
            "privateKey": folder.path().join("pebble.key"),
            "httpPort": doors.http,
            "tlsPort": doors.tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": manners.eab.is_some(),
            "externalAccountMACKeys": manners.eab.map(|(id, key)| json!({ id: key })),
        }});
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let dns_program = Program::start(
            command("pebble-challtestsrv")
                .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", ""])
                .args(["-https01", "", "-tlsalpn01", ""])
                .args(["-dns01", &format!("127.0.0.1:{dns}")])
                .args(["-management", &format!("127.0.0.1:{management}")]),
        );
        let ca = Program::start(
            command("pebble")
                .arg("-config")
                .arg(folder.path().join("config.json"))
                .args(["-dnsserver", &format!("127.0.0.1:{dns}")])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_AUTHZREUSE", "0")
                .env("PEBBLE_WFE_NONCEREJECT", manners.nonces_refused.to_string()),
        );
        let open = Arc::new(AtomicBool::new(true));
        tokio::spawn(forward(front, api, Arc::clone(&open)));
        let this = Self { ca, dns: dns_program, front, open, management, folder };
        for port in [api, management] {
            this.until_listening(port).await;
        }
        this
    }

    async fn until_listening(&self, port: u16) {
        let look = || async { TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok() };
        let said = || format!("{}{}", self.ca.said(), self.dns.said());
        drop(until_some(&format!("port {port}: {}", said()), look).await);
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.front)
    }

    /// How a relay reaches it.
    pub(crate) fn wire(&self) -> Arc<Wire> {
        let roots = CaRoots::load(Some(&self.folder.path().join("ca.pem"))).unwrap();
        Arc::new(Wire::new(roots, PACE.answer_max))
    }

    /// The network between relay and CA is cut, or mended.
    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.open.store(reachable, Ordering::Relaxed);
    }

    /// Orders that it took.
    pub(crate) fn orders(&self) -> usize {
        self.count("order-plz")
    }

    /// Requests for `path` in its log.
    pub(crate) fn count(&self, path: &str) -> usize {
        let line = format!("POST /{path}");
        self.ca.said().lines().filter(|said| said.contains(&line)).count()
    }

    /// The zone of every domain.
    pub(crate) fn txt(&self) -> Arc<dyn TxtRecords> {
        Arc::new(Helper { management: self.management })
    }

    /// The CA resolves `host` to this address from here on.
    pub(crate) async fn resolve(&self, host: &str, addresses: &[&str]) {
        let helper = Helper { management: self.management };
        let body = json!({ "host": format!("{host}."), "addresses": addresses });
        helper.post("/clear-a", &body).await.unwrap();
        helper.post("/add-a", &body).await.unwrap();
    }
}

/// The helper's management API as somebody who keeps a zone.
#[derive(Debug)]
struct Helper {
    management: u16,
}

#[async_trait]
impl TxtRecords for Helper {
    async fn publish(&self, name: &str, value: &str) -> Result<(), TxtError> {
        let body = json!({ "host": format!("{name}."), "value": value });
        self.post("/set-txt", &body).await.map_err(|cause| refused(name, cause))
    }

    async fn withdraw(&self, name: &str, _: &str) -> Result<(), TxtError> {
        let body = json!({ "host": format!("{name}.") });
        self.post("/clear-txt", &body).await.map_err(|cause| refused(name, cause))
    }
}

impl Helper {
    async fn post(&self, path: &str, body: &Value) -> Result<(), String> {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let exchange = async {
            let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.management)).await?;
            socket.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.map(|_| answer)
        };
        let answer: std::io::Result<String> = exchange.await;
        match answer {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

fn refused(name: &str, cause: String) -> TxtError {
    TxtError::Provider { provider: "challtestsrv", name: name.to_owned(), cause }
}

/// Passes connections on while the door is open, and refuses them otherwise.
async fn forward(front: u16, to: u16, open: Arc<AtomicBool>) {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, front)).await.unwrap();
    while let Ok((mut visitor, _)) = listener.accept().await {
        if !open.load(Ordering::Relaxed) {
            continue;
        }
        tokio::spawn(async move {
            let mut inner = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
            tokio::io::copy_bidirectional(&mut visitor, &mut inner).await
        });
    }
}

/// A program that ends with its handle, and with the test.
struct Program {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        follow(child.stdout.take().unwrap(), Arc::clone(&said));
        follow(child.stderr.take().unwrap(), Arc::clone(&said));
        Self { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn follow(stream: impl Read + Send + 'static, said: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    });
}

/// Should the test be killed, the kernel ends the program with it.
fn command(program: &str) -> Command {
    let installed = PathBuf::from("/usr/bin").join(program);
    assert!(installed.exists(), "{program} is not installed: run `cargo xtask setup`");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(installed);
    command
}

/// Ports that nobody has, for TCP and for UDP.
fn free_ports<const N: usize>() -> [u16; N] {
    let mut held = Vec::new();
    while held.len() < N {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if let Ok(udp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((tcp, udp, port));
        }
    }
    std::array::from_fn(|index| held[index].2)
}

fn make_certificates(folder: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let leaf = CertificateParams::new(names).unwrap();
    let signed = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    for (name, text) in
        [("ca.pem", ca_pem), ("pebble.pem", signed.pem()), ("pebble.key", key.serialize_pem())]
    {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
