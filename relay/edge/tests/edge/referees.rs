//! Other people's readers of HTTP/1: nginx and haproxy in front of Node, and Node itself. All of them listen on sockets in a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};

use super::lab::within;

/// Who reads a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Referee {
    Node,
    Nginx,
    Haproxy,
}

pub(crate) const REFEREES: [Referee; 3] = [Referee::Node, Referee::Nginx, Referee::Haproxy];

/// The running programs; they end with this.
pub(crate) struct Referees {
    folder: TempDir,
    records: Lines<BufReader<ChildStdout>>,
    _programs: Vec<Child>,
}

/// A request as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Without those that speak of a connection or of framing, which each reader makes anew, and without our own random id.
    pub(crate) fields: BTreeSet<(String, String)>,
    pub(crate) body: String,
}

impl Referees {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::with_prefix("bore-referees-").unwrap();
        let at = |name: &str| folder.path().join(name);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/recorder.js");
        let mut node = start(Command::new("node").arg(program).arg(at("node.sock")));
        let mut records = BufReader::new(node.stdout.take().unwrap()).lines();
        assert!(within("Node", records.next_line()).await.unwrap().unwrap().contains("listening"));
        std::fs::write(at("nginx.conf"), nginx(folder.path())).unwrap();
        std::fs::write(at("haproxy.cfg"), haproxy(folder.path())).unwrap();
        let programs = vec![
            node,
            start(Command::new("nginx").arg("-c").arg(at("nginx.conf")).arg("-e").arg(at("log"))),
            start(Command::new("haproxy").arg("-db").arg("-f").arg(at("haproxy.cfg"))),
        ];
        let this = Self { folder, records, _programs: programs };
        for referee in REFEREES {
            within("a referee", this.connected(referee)).await;
        }
        this
    }

    /// Where a referee listens.
    pub(crate) fn socket(&self, referee: Referee) -> PathBuf {
        self.folder.path().join(match referee {
            Referee::Node => "node.sock",
            Referee::Nginx => "nginx.sock",
            Referee::Haproxy => "haproxy.sock",
        })
    }

    /// Shows bytes to a referee as a visitor would, to the end; answers the status of each answer.
    pub(crate) async fn show(&self, referee: Referee, bytes: &[u8]) -> Vec<u16> {
        let mut stream = UnixStream::connect(self.socket(referee)).await.unwrap();
        // One that has seen enough does not read on.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = within("an answer", stream.read_to_end(&mut answer)).await;
        statuses(&answer)
    }

    /// What was read since this was asked last.
    pub(crate) async fn records(&mut self) -> Vec<Record> {
        let fence = b"GET /fence HTTP/1.1\r\nHost: fence\r\nConnection: close\r\n\r\n";
        self.show(Referee::Node, fence).await;
        let mut records = Vec::new();
        loop {
            let line = within("a record", self.records.next_line()).await.unwrap().unwrap();
            let record = Record::of(&serde_json::from_str(&line).unwrap());
            if record.target == "/fence" {
                return records;
            }
            records.push(record);
        }
    }

    async fn connected(&self, referee: Referee) {
        while UnixStream::connect(self.socket(referee)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl Record {
    fn of(json: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pairs = json["fields"].as_array().unwrap().chunks(2);
        let fields = pairs.map(|pair| match pair {
            [name, value] => (text(name).to_lowercase(), text(value)),
            odd => panic!("a name without a value: {odd:?}"),
        });
        Self {
            method: text(&json["method"]),
            target: text(&json["target"]),
            fields: fields.filter(|(name, _)| !REMADE.contains(&name.as_str())).collect(),
            body: text(&json["body"]),
        }
    }
}

/// The status of every answer in what came back. Bodies of referees hold no line that begins like an answer.
pub(crate) fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let heads = text.split("HTTP/1.").skip(1);
    heads.filter_map(|head| head.split(' ').nth(1)?.get(..3)?.parse().ok()).collect()
}

fn start(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn nginx(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "user root; daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 256; }}
http {{
  access_log off; underscores_in_headers on; ignore_invalid_headers off; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream recorder {{ server unix:{folder}/node.sock; }}
  server {{
    listen unix:{folder}/nginx.sock;
    location / {{
      proxy_pass http://recorder; proxy_http_version 1.1; proxy_ignore_client_abort on;
      proxy_set_header Host $http_host; proxy_set_header Connection '';
    }}
  }}
}}"
    )
}

fn haproxy(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "global
  maxconn 256
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend visitors
  bind unix@{folder}/haproxy.sock
  default_backend recorder
backend recorder
  server node unix@{folder}/node.sock
"
    )
}

const REMADE: [&str; 7] = [
    "connection",
    "content-length",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "x-request-id",
];
