//! Targets that hang, come and go, are none, or lead back to bore itself.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bore_tests::lab::RELAY;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};

use crate::scene::{EVIL_PORT, Scene, get, hear, linger, pour};

/// More visitors than an agent dials for at once, of a service that takes none of them.
pub(crate) fn full_backlog(scene: &Scene) {
    let machine = &scene.secured.lab.agent;
    let listener = machine.enter(|| listen_narrowly(6700));
    scene.publish(&["http", "6700", "--name", "hanging", "--host", "plain"]);
    scene.wait_for("hanging", "live");
    // The kernel answers no more than these.
    let waiting: Vec<TcpStream> = (0..2)
        .filter_map(|_| visitor::connect_to(machine, (Ipv4Addr::LOCALHOST, 6700).into()).ok())
        .collect();
    let visitors: Vec<TcpStream> = (0..400)
        .map(|_| {
            let mut stream = scene.visit();
            stream.write_all(get("plain", "").as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..10 {
        scene.demand_served();
    }
    drop((visitors, waiting, listener));
    scene.demand_harmless("a backlog that is full");
}

/// With a backlog of one connection.
fn listen_narrowly(port: u16) -> TcpListener {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let narrow = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&narrow, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
    listen(&narrow, 0).unwrap();
    narrow.into()
}

/// A listener that is there and is not there a hundred times; its state is true in the end.
pub(crate) fn flapping(scene: &Scene) {
    let machine = &scene.secured.lab.agent;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 6701));
    let listen = || machine.enter(|| TcpListener::bind(address)).unwrap();
    let first = listen();
    scene.publish(&["tcp", "6701", "--name", "flapping", "--port", "20071"]);
    scene.wait_for("flapping", "live");
    drop(first);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            machine.enter(|| {
                for _ in 0..100 {
                    drop(TcpListener::bind(address));
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            ended.store(true, Ordering::Release);
        });
        while !ended.load(Ordering::Acquire) {
            if let Ok(mut stream) = visitor::connect(&scene.secured.lab.visitor, 20_071) {
                let _ = stream.read(&mut [0; 1]);
            }
        }
    });
    scene.wait_for("flapping", "down");
    let _there = listen();
    scene.wait_for("flapping", "live");
    scene.demand_harmless("a listener that comes and goes");
}

/// Files that are called sockets.
pub(crate) fn no_sockets(scene: &Scene) {
    let folder = scene.secured.lab.folder("sockets");
    let path = folder.join("app.sock");
    let publish = format!("unix:{}", path.display());
    let listener = scene.secured.lab.agent.enter(|| UnixListener::bind(&path)).unwrap();
    scene.publish(&["http", &publish, "--name", "files", "--host", "other"]);
    scene.wait_for("files", "live");
    drop(listener);
    let remove = || fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
    let makes: [(&str, &dyn Fn()); 5] = [
        ("a file", &|| fs::write(&path, "HTTP/1.1 200 OK\r\n\r\n").unwrap()),
        ("a folder", &|| fs::create_dir(&path).unwrap()),
        ("a link to nothing", &|| std::os::unix::fs::symlink("nothing", &path).unwrap()),
        ("a link to itself", &|| std::os::unix::fs::symlink(&path, &path).unwrap()),
        ("a device", &|| std::os::unix::fs::symlink("/dev/zero", &path).unwrap()),
    ];
    remove();
    for (name, make) in makes {
        make();
        let mut stream = scene.visit();
        stream.write_all(get("other", "Connection: close\r\n").as_bytes()).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.starts_with("HTTP/1.1 50") && !page.contains("sock"), "{name}: {page}");
        scene.wait_for("files", "down");
        scene.demand_harmless(name);
        remove();
    }
}

/// A visitor of it would rule the agent.
pub(crate) fn own_socket(scene: &Scene) {
    let folder = scene.secured.lab.folder("links");
    let link = folder.join("app.sock");
    std::os::unix::fs::symlink(scene.secured.agent.state().join("agent.sock"), &link).unwrap();
    for path in [scene.secured.agent.state().join("agent.sock"), link] {
        let target = format!("unix:{}", path.display());
        let refused =
            scene.secured.agent.bore(&["publish", "tcp", &target, "--port", "20072", "--bg"]);
        assert!(refused.code != Some(0), "{refused:?}");
        visitor::connect(&scene.secured.lab.visitor, 20_072).unwrap_err();
        scene.demand_harmless("the agent's own socket");
    }
}

/// Targets that are the publication itself: a visitor goes round until a bound is met.
pub(crate) fn loops(scene: &Scene) {
    let to = |port: u16| format!("{RELAY}:{port}");
    scene.publish(&["tcp", &to(20_073), "--name", "ring", "--port", "20073", "--health", "none"]);
    scene.wait_for("ring", "live");
    let ring = scene.connect(20_073);
    scene.demand_served();
    drop(ring);
    scene.demand_harmless("a port that leads to itself");
    scene.secured.agent.bore(&["rm", "ring"]).success();

    scene.publish(&["http", &to(80), "--name", "mirror", "--host", "any", "--health", "none"]);
    scene.wait_for("mirror", "live");
    let mut mirror = scene.visit();
    mirror.write_all(get("any", "").as_bytes()).unwrap();
    scene.demand_served();
    drop(mirror);
    scene.demand_harmless("a host that leads to itself");
    scene.secured.agent.bore(&["rm", "mirror"]).success();
}

/// Health checks that never end, or that lead elsewhere.
pub(crate) fn health(scene: &Scene) {
    let victim = scene.secured.lab.agent.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 6379)));
    let victim = victim.unwrap();
    victim.set_nonblocking(true).unwrap();
    let says = |text: &'static str| {
        scene.evil.does(move |stream| {
            hear(stream);
            let _ = stream.write_all(text.as_bytes());
            linger(stream);
        });
    };
    says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let target = EVIL_PORT.to_string();
    let check = ["--health", "http:/up", "--health-interval", "1s"];
    scene.publish(&[&["tcp", &target, "--name", "sick", "--port", "20074"][..], &check].concat());
    scene.wait_for("sick", "live");
    let checked = |name: &str| {
        let before = scene.evil.asked();
        until("another check", SOON, || (scene.evil.asked() > before).then_some(()));
        scene.demand_unharmed(name);
    };

    says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:6379/\r\nContent-Length: 0\r\n\r\n");
    checked("health that leads elsewhere");
    assert_eq!(scene.state_of("sick"), "live");
    assert!(victim.accept().is_err(), "a redirect is not followed");
    for (name, start, piece) in [
        ("health of endless fields", "HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        ("health of endless interim answers", "", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("health of nonsense", "", "\0"),
    ] {
        scene.evil.does(move |stream| {
            hear(stream);
            if stream.write_all(start.as_bytes()).is_ok() {
                pour(stream, piece.as_bytes());
            }
        });
        checked(name);
    }
    scene.evil.does(linger);
    checked("health that never answers");
    scene.wait_for("sick", "down");
    says("HTTP/1.1 500 \u{1b}[2J\r\nContent-Length: 0\r\n\r\n");
    checked("health with an escape");
    says("HTTP/1.1 204 No Content\r\n\r\n");
    scene.wait_for("sick", "live");
    scene.demand_harmless("health that is back");
    scene.secured.agent.bore(&["rm", "sick"]).success();
}
