//! What ends TLS, and the origin behind it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustls::NamedGroup;
use tokio::net::TcpStream;

use crate::Result;
use crate::certificate::{Certified, HOST};
use crate::handshakes::Wanted;
use crate::process::{Measured, Node, POLL, Relay, Setup, free_tcp_port, patiently};

/// A program that speaks HTTPS for the origin.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// Key exchange that it knows.
    pub(super) groups: &'static [NamedGroup],
    parts: Parts,
}

enum Parts {
    Bore(Box<Relay>, Node),
    Program(Measured),
}

/// nginx, the same for all.
pub(super) struct Origin {
    address: SocketAddr,
    _process: Measured,
}

impl Origin {
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let port = free_tcp_port()?;
        let server = format!(
            "server {{ listen 127.0.0.1:{port} backlog=8192 reuseport;
  location / {{ return 200 'hello world, 32 bytes of body...\\n'; }} }}"
        );
        let process = nginx(folder, "origin", 1, &server)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        until_it_listens(address).await?;
        Ok(Self { address, _process: process })
    }
}

impl Subject {
    /// Processor time used so far between visitor and origin.
    pub(super) fn cpu(&self) -> Result<Duration> {
        match &self.parts {
            Parts::Bore(relay, node) => Ok(relay.process().cpu()? + node.process().cpu()?),
            Parts::Program(program) => program.cpu_of_family(),
        }
    }

    fn program(name: &'static str, port: u16, process: Measured) -> Self {
        Self {
            name,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            groups: &[NamedGroup::X25519],
            parts: Parts::Program(process),
        }
    }
}

/// Starts all of them; the product first.
pub(super) async fn all(
    bore: &Path,
    folder: &Path,
    certified: &Certified,
    origin: &Origin,
) -> Result<Vec<Subject>> {
    let subjects = vec![
        start_bore(bore, folder, certified, origin)?,
        start_nginx(folder, certified, origin)?,
        start_haproxy(folder, certified, origin)?,
    ];
    for subject in &subjects {
        until_it_listens(subject.address).await?;
        until_it_shakes_hands(subject, certified).await?;
    }
    Ok(subjects)
}

fn start_bore(
    bore: &Path,
    folder: &Path,
    certified: &Certified,
    origin: &Origin,
) -> Result<Subject> {
    let setup = Setup { certified: Some(certified), ..Setup::default() };
    let relay = Relay::start(bore, folder, setup)?;
    let node = Node::join(bore, folder, &relay.join_key)?;
    node.publish(&["http", &origin.address.to_string(), "--name", "app", "--no-wait"])?;
    Ok(Subject {
        name: "bore",
        address: SocketAddr::from(([127, 0, 0, 1], relay.https_port)),
        groups: &[NamedGroup::X25519, NamedGroup::X25519MLKEM768],
        parts: Parts::Bore(Box::new(relay), node),
    })
}

fn start_nginx(folder: &Path, certified: &Certified, origin: &Origin) -> Result<Subject> {
    let (port, origin) = (free_tcp_port()?, origin.address);
    let (chain, key) = (certified.chain.display(), certified.key.display());
    let server = format!(
        "upstream origin {{ server {origin}; keepalive 1024; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} ssl http2 backlog=8192 reuseport; server_name {HOST};
  ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_session_tickets on;
  location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection '';
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; }} }}"
    );
    let process = nginx(folder, "nginx", std::thread::available_parallelism()?.get(), &server)?;
    Ok(Subject::program("nginx", port, process))
}

fn start_haproxy(folder: &Path, certified: &Certified, origin: &Origin) -> Result<Subject> {
    let (port, origin) = (free_tcp_port()?, origin.address);
    let (threads, both) = (std::thread::available_parallelism()?, certified.both.display());
    let text = format!(
        "global
 nbthread {threads}
 maxconn 8000
 ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
 mode http
 timeout connect 5s
 timeout client 300s
 timeout server 300s
 http-reuse always
 option forwardfor
frontend visitors
 bind 127.0.0.1:{port} ssl crt {both} alpn h2,http/1.1 backlog 8192
 default_backend origin
backend origin
 server one {origin}
"
    );
    let path = folder.join("haproxy.cfg");
    fs::write(&path, text)?;
    let process = Measured::start(Command::new("haproxy").arg("-db").arg("-f").arg(&path))?;
    Ok(Subject::program("haproxy", port, process))
}

fn nginx(folder: &Path, label: &str, workers: usize, servers: &str) -> Result<Measured> {
    let folder = folder.join(label);
    fs::create_dir(&folder)?;
    let at = folder.display();
    let text = format!(
        "daemon off; worker_processes {workers}; pid {at}/pid; error_log {at}/error.log;
worker_rlimit_nofile 20000; events {{ worker_connections 16000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 300;
 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
{servers} }}"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, text)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path).arg("-e").arg(folder.join("error.log"));
    Measured::start(&mut command)
}

async fn until_it_listens(address: SocketAddr) -> Result<()> {
    let connected = patiently(async || Ok(TcpStream::connect(address).await?)).await;
    connected.map(drop).map_err(|error| format!("nothing listens at {address}: {error}").into())
}

/// The certificate is there, and in the case of the product the way to the origin too.
async fn until_it_shakes_hands(subject: &Subject, certified: &Certified) -> Result<()> {
    let wanted = Wanted { group: NamedGroup::X25519, resumed: true };
    let made = patiently(async || wanted.measure(subject.address, certified, POLL).await).await;
    made.map(drop).map_err(|error| format!("{}: {error}", subject.name).into())
}
