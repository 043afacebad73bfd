//! Services that say why and close while bytes of the visitor are unread: their kernel sends a reset behind the last words, and those
//! arrive all the same, by every way that leads to a service.
#![expect(
    clippy::unwrap_used,
    reason = "what a test looks for and does not find fails it, also in helpers"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use bore_tests::authority::Certified;
use bore_tests::bore::{Agent, Relay};
use bore_tests::lab::Lab;
use bore_tests::origins::wait_for_port;
use bore_tests::process::Process;
use bore_tests::secured::Secured;
use bore_tests::service::Service;
use bore_tests::visitor;

#[test]
fn a_refusal_arrives_before_the_reset() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let agent = Agent::join(&lab, &relay);
    let _tcp = Service::tcp(&lab.agent, 7000, refuse);
    let _published = agent.publish(&["tcp", "7000", "--name", "tcp"]);
    let path = lab.path().join("service.sock");
    serve_unix(&path);
    let target = format!("unix:{}", path.display());
    let _unix = agent.publish(&["tcp", &target, "--name", "unix", "--port", "7001"]);
    for name in ["tcp", "unix"] {
        relay.wait_for_state(name, "live");
    }
    for (port, unread) in [7000, 7001].iter().flat_map(|port| SIZES.map(|unread| (port, unread))) {
        for run in 0..RUNS {
            let stream = visitor::connect(&lab.visitor, *port).unwrap();
            assert_eq!(heard(stream, unread), REFUSAL, "port {port}, {unread} unread, run {run}");
        }
    }
}

#[test]
fn a_real_store_at_its_limit_says_so() {
    let lab = Lab::new();
    let relay = Relay::start(&lab);
    let agent = Agent::join(&lab, &relay);
    let mut command = lab.agent.command("redis-server");
    command.args(["--port", "6379", "--save", "", "--maxclients", "1", "--protected-mode", "no"]);
    let _redis = Process::start("redis", command);
    wait_for_port(&lab.agent, 6379);
    let _published = agent.publish(&["tcp", "6379", "--name", "store"]);
    // Checks of the target are clients too, and leave again.
    let (mut served, mut refused) = (Vec::new(), 0);
    while refused < RUNS {
        let mut client = visitor::connect(&lab.visitor, 6379).unwrap();
        client.write_all(b"PING\r\n").unwrap();
        let mut said = [0; 64];
        let count = client.read(&mut said).unwrap();
        match said.get(..count).unwrap() {
            b"+PONG\r\n" => served.push(client),
            said if said.starts_with(b"-ERR max number of clients") => refused += 1,
            said => panic!("{}", String::from_utf8_lossy(said)),
        }
    }
}

#[test]
fn an_answer_before_the_end_of_an_upload_is_the_answer() {
    let scene = Secured::new(&["*.t.test"]);
    let certified = scene.authority.issue("origin", &["127.0.0.1"]);
    let _plain = Service::tcp(&scene.lab.agent, 3000, answer_early);
    let _secure = early_answer(&scene, 8443, &certified);
    for (name, target) in [("app", "3000"), ("good", "https://127.0.0.1:8443")] {
        scene.agent.publish_in_background(&["http", target, "--name", name]);
        scene.relay.wait_for_state(name, "live");
    }
    let upload = scene.lab.file("upload", &"u".repeat(1_000_000)).display().to_string();
    for (name, version) in ["app", "good"]
        .iter()
        .flat_map(|name| ["--http1.1", "--http2"].map(|version| (name, version)))
    {
        for run in 0..RUNS {
            let url = format!("https://{name}.t.test/");
            let answer =
                scene.get(&[version, "--header", "Expect:", "--upload-file", &upload, &url]);
            assert_eq!(answer.status, 413, "{name} {version}, run {run}: {answer:?}");
        }
    }
}

#[test]
fn a_farewell_behind_a_change_of_protocol_arrives() {
    let scene = Secured::new(&["*.t.test"]);
    let _service = Service::tcp(&scene.lab.agent, 3000, |mut stream| {
        let mut head = [0; 4096];
        if stream.read(&mut head).is_ok_and(|count| count > 0) {
            stream.write_all(SWITCHING).unwrap();
            refuse(stream);
        }
    });
    scene.agent.publish_in_background(&["http", "3000", "--name", "app"]);
    scene.relay.wait_for_state("app", "live");
    for run in 0..RUNS {
        let mut client = client(&scene, &["-servername", "app.t.test", "-alpn", "http/1.1"]);
        let request =
            "GET / HTTP/1.1\r\nHost: app.t.test\r\nConnection: upgrade\r\nUpgrade: any\r\n\r\n";
        let said = client.say(&[request.as_bytes(), &[b'x'; 50_000]].concat());
        assert!(said.ends_with(REFUSAL), "run {run}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn an_alert_of_a_service_that_terminates_tls_itself_arrives() {
    let scene = Secured::new(&["other.t.test"]);
    let own = scene.authority.issue("own", &["app.t.test"]);
    let mut command = scene.lab.agent.command("openssl");
    command.args(["s_server", "-quiet", "-accept", "8443", "-Verify", "1", "-verify_return_error"]);
    command.arg("-cert").arg(&own.chain).arg("-key").arg(&own.key);
    let _service = Process::start("openssl", command);
    wait_for_port(&scene.lab.agent, 8443);
    scene.agent.publish_in_background(&["tls", "8443", "--name", "app"]);
    scene.relay.wait_for_state("app", "live");
    for run in 0..RUNS {
        let mut client = client(&scene, &["-servername", "app.t.test", "-tls1_3"]);
        client.say(&[b'x'; 50_000]);
        let told = client.errors();
        assert!(told.contains("certificate required"), "run {run}: {told}");
    }
}

/// Reads a little, waits until there is more, says why it will not, and closes.
fn refuse(mut stream: TcpStream) {
    if stream.read_exact(&mut [0; 100]).is_ok() && stream.peek(&mut [0]).is_ok() {
        let _ = stream.write_all(REFUSAL);
    }
}

fn serve_unix(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if stream.read_exact(&mut [0; 100]).is_ok() {
                let _ = stream.write_all(REFUSAL);
            }
        }
    });
}

fn answer_early(mut stream: TcpStream) {
    if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
        let head = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\n";
        let _ = stream.write_all(format!("{head}too large").as_bytes());
    }
}

fn early_answer(scene: &Secured, port: u16, Certified { chain, key }: &Certified) -> Process {
    let mut command = scene.python(&scene.lab.agent, "early_answer.py");
    command.arg(port.to_string()).arg(chain).arg(key);
    let server = Process::start("early_answer.py", command);
    wait_for_port(&scene.lab.agent, port);
    server
}

/// What a visitor hears who sends more than is read. A visitor that can send no more still reads, as programs do.
fn heard(mut stream: TcpStream, unread: usize) -> Vec<u8> {
    let _ = stream.write_all(&vec![b'x'; 100 + unread]);
    let mut heard = Vec::new();
    // The reset behind the last words is an error, as on the direct path.
    let _ = stream.read_to_end(&mut heard);
    heard
}

/// `openssl s_client` as a visitor.
struct Client(std::process::Child);

fn client(scene: &Secured, arguments: &[&str]) -> Client {
    let mut command: Command = scene.lab.visitor.command("openssl");
    command.args(["s_client", "-quiet", "-connect"]).arg(format!("{}:443", bore_tests::lab::RELAY));
    command.args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Client(command.spawn().unwrap())
}

impl Client {
    /// Sends `bytes` and gives what came until the end.
    fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut stdin = self.0.stdin.take().unwrap();
        // The service may be gone before it has all of it.
        let _ = stdin.write_all(bytes);
        let mut heard = Vec::new();
        self.0.stdout.take().unwrap().read_to_end(&mut heard).unwrap();
        drop(stdin);
        heard
    }

    fn errors(&mut self) -> String {
        let mut told = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        self.0.wait().unwrap();
        told
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const RUNS: usize = 20;
const SIZES: [usize; 3] = [5_000, 50_000, 300_000];
const REFUSAL: &[u8] = b"ERR max number of clients reached\n";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: any\r\n\r\n";
