//! Services whose ports come and go, and services that must not be disturbed: with real programs, as on the direct path.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bore_tests::bore::{Agent, Relay};
use bore_tests::lab::{Lab, RELAY};
use bore_tests::namespace::must_run;
use bore_tests::process::Process;
use bore_tests::service::Service;
use bore_tests::visitor::{connect, echo, exchange, udp};
use bore_tests::wait::{SOON, until};

#[test]
fn files_are_fetched_by_passive_ftp_whose_data_ports_listen_on_demand() {
    let scene = Scene::new();
    let files = scene.lab.folder("ftp");
    fs::write(files.join("file"), "carried\n").unwrap();
    let mut command = scene.lab.agent.command(DEBIAN_PYTHON);
    command.args(["-m", "pyftpdlib", "-i", "127.0.0.1", "-p", "2121", "-r", "40000-40004", "-d"]);
    command.arg(&files);
    let mut server = Process::start("pyftpdlib", command);
    server.line("the server runs", |line| line.text.contains("starting FTP server").then_some(()));
    scene.publish(&["tcp", "2121", "--name", "control"]);
    scene.publish(&["tcp", "127.0.0.1:40000-40004", "--port", "40000", "--name", "data"]);
    let view = scene.relay.wait_for_state("data", "live");
    assert_eq!(view["state"]["cause"], "target not checked", "{view}");

    for _ in 0..8 {
        let url = format!("ftp://{RELAY}:2121/file");
        let fetched = scene.lab.visitor.run("curl", &["-sS", "--max-time", "10", &url]);
        assert_eq!(fetched, "carried\n");
    }
    connect(&scene.lab.visitor, 40004).and_then(|mut stream| echo(&mut stream, b"x")).unwrap_err();
    assert_eq!(scene.relay.state_of("data"), "live", "a port without a listener is refused alone");
}

#[test]
fn ports_of_a_udp_range_that_come_and_go_are_reached_while_they_are_there() {
    let scene = Scene::new();
    scene.publish(&["udp", "27000-27010", "--name", "rtp"]);
    scene.relay.wait_for_state("rtp", "live");
    for port in [27005, 27000, 27010, 27005] {
        assert_eq!(exchange(&udp(&scene.lab.visitor, port), b"before"), None, "{port}");
        let call = Service::udp_echo(&scene.lab.agent, port, 1);
        let socket = udp(&scene.lab.visitor, port);
        assert_eq!(exchange(&socket, b"media"), Some(b"media".to_vec()), "{port}");
        drop(call);
    }
}

#[test]
fn a_range_as_wide_as_the_limit_of_open_files_allows_is_published() {
    // Each port is a socket: of 20,000 descriptors one network gets 2,372 for its ports, of a service's 1,048,576 all that there are.
    let scene = Scene::new();
    scene.publish(&["udp", "10000-12000", "--name", "exchange"]);
    scene.relay.wait_for_state("exchange", "live");
    for port in [10_000, 11_000, 12_000] {
        let _call = Service::udp_echo(&scene.lab.agent, port, 1);
        let socket = udp(&scene.lab.visitor, port);
        until("the port to answer", SOON, || exchange(&socket, b"media"));
    }
    let refusal = scene.agent.bore(&["publish", "udp", "1-20000", "--port", "20001"]);
    assert_eq!(refusal.code, Some(2), "{refusal:?}");
    assert!(refusal.stderr.contains("as a second range"), "{refusal:?}");
}

#[test]
fn iperf3_measures_udp_though_its_socket_is_made_on_demand() {
    let scene = Scene::new();
    let mut command = scene.lab.agent.command("iperf3");
    command.args(["--server", "--port", "5201", "--forceflush"]);
    let mut server = Process::start("iperf3", command);
    server.line("iperf3 listens", |line| line.text.contains("listening on 5201").then_some(()));
    scene.publish(&["tcp", "5201", "--name", "control"]);
    scene.publish(&["udp", "5201", "--name", "data"]);
    let view = scene.relay.wait_for_state("data", "live");
    assert_eq!(view["state"]["cause"], "nothing receives there yet", "{view}");

    let relay = RELAY.to_string();
    let arguments =
        ["-u", "-c", &relay, "-p", "5201", "-b", "2M", "-l", "1000", "-t", "2", "--json"];
    let measured = scene.lab.visitor.run("iperf3", &arguments);
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    let sum = &measured["end"]["sum"];
    assert!(sum["packets"].as_f64().unwrap() > 100.0, "{sum}");
    assert!(sum["lost_percent"].as_f64().unwrap() < 20.0, "{sum}");
}

#[test]
fn a_mosh_session_runs_over_a_published_range() {
    let scene = Scene::new();
    scene.publish(&["udp", "60000-60010", "--name", "mosh"]);
    scene.relay.wait_for_state("mosh", "live");
    let server = ["new", "-i", "127.0.0.1", "-p", "60000:60010", "--", "sh"];
    let printed = scene.lab.agent.run("mosh-server", &server);
    let offer = printed.lines().find_map(|line| line.strip_prefix("MOSH CONNECT ")).unwrap();
    let (port, key) = offer.split_once(' ').unwrap();

    let mut client = scene.lab.visitor.command("script");
    // A terminal has a size.
    let command = format!("stty rows 24 cols 80; mosh-client {RELAY} {port}");
    client.args(["-qfc", &command, "/dev/null"]);
    client.env("MOSH_KEY", key).env("TERM", "xterm-256color");
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut keyboard = client.stdin.take().unwrap();
    keyboard.write_all(b"echo carried-$((40+2)) > answer; exit\n").unwrap();
    let answer = scene.lab.agent.run("sh", &["-c", "echo $HOME"]);
    let answer = std::path::Path::new(answer.trim()).join("answer");
    until("the command to run in the session", SOON, || {
        fs::read_to_string(&answer).ok().filter(|text| text == "carried-42\n")
    });
    until("the client to end with the session", SOON, || client.try_wait().unwrap());
}

#[test]
fn a_service_for_one_connection_gets_that_of_the_visitor() {
    let scene = Scene::new();
    let script = "echo payload | exec nc -l -N 127.0.0.1 9001";
    let mut command = scene.lab.agent.command("sh");
    command.args(["-c", script]);
    let mut service = Process::start("nc", command);
    scene.wait_for_listener(9001);
    scene.publish(&[
        "tcp",
        "127.0.0.1:9001",
        "--port",
        "9001",
        "--name",
        "once",
        "--health-interval",
        "1s",
    ]);
    scene.relay.wait_for_state("once", "live");
    assert!(service.is_running(), "a check used it up");

    let arguments = ["-N", "-w", "5", &RELAY.to_string(), "9001"];
    let mut visitor = scene.lab.visitor.command("nc");
    assert_eq!(must_run(visitor.args(arguments).stdin(Stdio::null())), "payload\n");
    assert!(service.wait(SOON).success());
    scene.relay.wait_for_state("once", "down");
}

#[test]
fn a_listening_service_sees_its_visitors_and_no_check() {
    let scene = Scene::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let _service = Service::tcp(&scene.lab.agent, 2525, move |mut stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        // A visitor that has gone needs no greeting.
        let _ = stream.write_all(b"220 hello\r\n");
    });
    scene.publish(&["tcp", "2525", "--name", "smtp", "--health-interval", "1s"]);
    scene.relay.wait_for_state("smtp", "live");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    drop(connect(&scene.lab.visitor, 2525).unwrap());
    until("the visitor", SOON, || (seen.load(Ordering::SeqCst) == 1).then_some(()));
}

#[test]
fn a_web_service_is_checked_by_the_path_that_was_named() {
    let scene = Scene::new();
    let healthy = scene.lab.folder("web").join("healthz");
    let folder = healthy.parent().unwrap().display().to_string();
    let mut command = scene.lab.agent.command("python3");
    command.args([
        "-u",
        "-m",
        "http.server",
        "3000",
        "--bind",
        "127.0.0.1",
        "--directory",
        &folder,
    ]);
    let _service = Process::start("http.server", command);
    scene.wait_for_listener(3000);
    let health = ["--health", "http:/healthz", "--health-interval", "1s"];
    scene.publish(&[&["tcp", "3000", "--name", "web"][..], &health].concat());
    let view = scene.relay.wait_for_state("web", "down");
    let cause = view["state"]["cause"].as_str().unwrap();
    assert!(cause.contains("GET /healthz was answered 404"), "{view}");
    assert_eq!(view["health"]["check"], "http:/healthz", "{view}");

    fs::write(&healthy, "yes").unwrap();
    scene.relay.wait_for_state("web", "live");
    fs::remove_file(&healthy).unwrap();
    scene.relay.wait_for_state("web", "down");
}

#[test]
fn a_bare_port_finds_a_service_that_listens_by_ipv6_alone() {
    let scene = Scene::new();
    let mut command = scene.lab.agent.command("python3");
    command.args(["-u", "-m", "http.server", "3000", "--bind", "::1"]);
    let _service = Process::start("http.server", command);
    scene.wait_for_listener(3000);
    scene.publish(&["tcp", "3000", "--name", "web"]);
    scene.relay.wait_for_state("web", "live");
    let url = format!("http://{RELAY}:3000/");
    let answer = bore_tests::curl::curl(&scene.lab.visitor, &[&url]);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_name_whose_ipv6_address_is_dead_is_reached_by_ipv4() {
    let scene = Scene::new();
    let agent = &scene.lab.agent;
    // Packets to the one address vanish; the other is this machine.
    agent.add_address("lo", "2001:db8:dead::1/128");
    agent.nft(
        "table inet f {
            chain i { type filter hook input priority 0; ip6 daddr 2001:db8:dead::1 drop; }
        }",
    );
    agent.set_hosts(&[
        ("dual.test", "2001:db8:dead::1".parse().unwrap()),
        ("dual.test", "127.0.0.1".parse().unwrap()),
    ]);
    let _echo = Service::tcp_echo(agent, 7000);
    scene.publish(&["tcp", "dual.test:7000", "--port", "7000", "--name", "dual"]);
    scene.relay.wait_for_state("dual", "live");
    let mut stream = connect(&scene.lab.visitor, 7000).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    echo(&mut stream, b"by the address that answers").unwrap();

    let _udp = Service::udp_echo(agent, 7000, 1);
    scene.publish(&["udp", "dual.test:7000", "--port", "7000", "--name", "datagrams"]);
    scene.relay.wait_for_state("datagrams", "live");
    let socket = udp(&scene.lab.visitor, 7000);
    until("an answer by the address that answers", SOON, || exchange(&socket, b"asked"));
}

#[test]
fn services_that_never_answer_keep_no_other_one_waiting() {
    let scene = Scene::new();
    // Each check of it takes as long as a check may.
    let _silent = scene.lab.agent.enter(|| std::net::TcpListener::bind("127.0.0.1:3000").unwrap());
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    let silent = (0..24).map(|number| {
        format!("[publish.a{number:02}]\ntcp = \"127.0.0.1:3000\"\nport = 0\nhealth = \"http\"\n")
    });
    let file = scene.lab.file("bore.toml", &silent.collect::<String>());
    let up = ["--timeout", "1s", "up", "-f", &file.display().to_string()];
    scene.agent.bore(&up).success();
    for number in 0..24 {
        scene.relay.wait_for_state_within(SOON * 3, &format!("a{number:02}"), "down");
    }
    scene.publish(&["tcp", "7000", "--name", "z", "--no-wait"]);
    scene.relay.wait_for_state("z", "live");
}

/// The one that Debian's packages are for.
const DEBIAN_PYTHON: &str = "/usr/bin/python3";

/// A relay and an agent that runs.
struct Scene {
    agent: Agent,
    relay: Relay,
    lab: Lab,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        Self { agent, relay, lab }
    }

    fn publish(&self, arguments: &[&str]) {
        self.agent.publish_in_background(arguments);
    }

    /// Looks without connecting.
    fn wait_for_listener(&self, port: u16) {
        let filter = format!("sport = :{port}");
        until("the service to listen", SOON, || {
            let listeners = self.lab.agent.run("ss", &["-Hltn", &filter]);
            (!listeners.is_empty()).then_some(())
        });
    }
}
