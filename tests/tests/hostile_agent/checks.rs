//! At its probe port, where the relay asks what its targets do: no answer, any answer, one without end. What is said of its publications is true in a
//! bounded time, and those of its neighbours are live as soon as ever.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bore_netstack::{Incoming, Listener, TcpFlow};
use bore_overlay::PROBE_PORT;
use bore_tests::attempts::Attempt;
use bore_tests::overlay_end::packet::{ACK, RST, SYN, Segment, ports_and_flags};
use bore_tests::process::Process;
use bore_tests::visitor::{connect, echo};
use serde_json::{Value, json};

use super::scene::Scene;

/// Of a node that has done all the rest before.
pub(crate) const LAST: [Attempt<Scene>; 2] = [
    Attempt {
        name: "an honest answer about a target",
        make: |scene| asked(scene, 1, |call| call.answer(OK)),
        expected: "reachable",
    },
    Attempt {
        name: "an honest answer that comes late",
        make: |scene| {
            asked(scene, 1, |call| {
                if call.began.elapsed() > Duration::from_secs(3) {
                    call.answer(OK);
                }
            })
        },
        expected: "reachable",
    },
];

pub(crate) const ATTEMPTS: [Attempt<Scene>; 26] = [
    Attempt {
        name: "an honest answer, to show what the others would be told",
        make: |scene| asked(scene, 1, |call| call.answer(OK)),
        expected: "reachable",
    },
    Attempt {
        name: "no word of its own, and an honest answer when it is asked",
        make: unreported,
        expected: "reachable",
    },
    // No answer.
    Attempt {
        name: "calls taken that are never answered",
        make: |scene| asked(scene, 1, |_| {}),
        expected: "down",
    },
    Attempt {
        name: "more of them than there are places",
        make: |scene| asked(scene, 12, |_| {}),
        expected: "down",
    },
    Attempt { name: "calls never taken", make: |scene| held(scene, 12), expected: "offline" },
    Attempt {
        name: "calls refused",
        make: |scene| called(scene, 12, Some(Incoming::reject_reset)),
        expected: "offline",
    },
    Attempt { name: "nobody there", make: nobody, expected: "offline" },
    Attempt {
        name: "calls closed at once",
        make: |scene| asked(scene, 1, |call| call.flow.shutdown()),
        expected: "down",
    },
    Attempt {
        name: "calls reset at once",
        make: |scene| asked(scene, 1, |call| call.flow.abort()),
        expected: "down|offline",
    },
    Attempt {
        name: "calls reset after the question",
        make: |scene| {
            asked(scene, 1, |call| {
                if call.was_asked() {
                    call.flow.abort();
                }
            })
        },
        expected: "down",
    },
    Attempt { name: "a window that never opens", make: closed_window, expected: "down" },
    Attempt {
        name: "the start of another node at every call",
        make: other_starts,
        expected: "offline|down",
    },
    // Part of an answer.
    Attempt {
        name: "half an answer, and the end",
        make: |scene| {
            asked(scene, 1, |call| {
                call.answer(&OK[..OK.len() / 2]);
                call.flow.shutdown();
            })
        },
        expected: "down",
    },
    Attempt {
        name: "half an answer, and a reset",
        make: |scene| {
            asked(scene, 1, |call| {
                call.answer(&OK[..OK.len() / 2]);
                if call.said > 0 && call.began.elapsed() > A_MOMENT {
                    call.flow.abort();
                }
            })
        },
        expected: "down",
    },
    Attempt {
        name: "half an answer, and nothing",
        make: |scene| asked(scene, 1, |call| call.answer(&OK[..OK.len() / 2])),
        expected: "down",
    },
    Attempt {
        name: "an answer byte by byte",
        make: |scene| asked(scene, 1, byte_by_byte),
        expected: "down",
    },
    Attempt {
        name: "an answer that never ends",
        make: |scene| asked(scene, 1, |call| call.say(&[b' '; 2_048])),
        expected: "down",
    },
    // Another answer.
    Attempt {
        name: "no JSON",
        make: |scene| asked(scene, 1, |call| call.answer(b"\xff\0HTTP/1.1 200 OK\n")),
        expected: "down",
    },
    Attempt {
        name: "JSON of another shape",
        make: |scene| asked(scene, 1, |call| call.answer(b"{\"ok\":\"yes\"}\n")),
        expected: "down",
    },
    Attempt {
        name: "JSON without an end of its depth",
        make: |scene| asked(scene, 1, |call| call.answer(&[b'['; 4_095])),
        expected: "down",
    },
    Attempt {
        name: "yes and no at once",
        make: |scene| {
            asked(scene, 1, |call| call.answer(b"{\"ok\":true,\"ok\":false,\"ok\":true}\n"))
        },
        expected: "down",
    },
    Attempt {
        name: "no, and then yes",
        make: |scene| asked(scene, 1, |call| call.answer(b"{\"ok\":false}\n{\"ok\":true}\n")),
        expected: "down",
    },
    Attempt {
        name: "nothing in it",
        make: |scene| asked(scene, 1, |call| call.answer(b"{}\n")),
        expected: "down",
    },
    Attempt {
        name: "a detail that turns the terminal round",
        make: |scene| asked(scene, 1, |call| call.answer(TERMINAL)),
        expected: "down",
    },
    Attempt {
        name: "yes to every question at once, whichever it was",
        make: |scene| asked(scene, 12, |call| call.answer(OK)),
        expected: "reachable",
    },
    Attempt {
        name: "yes, while visitors are refused",
        make: refused_visitors,
        expected: "reachable, and visitors reset",
    },
];

/// A call of the relay's at the probe port.
struct Call {
    flow: TcpFlow,
    began: Instant,
    heard: Vec<u8>,
    said: usize,
}

impl Call {
    fn new(flow: TcpFlow) -> Self {
        Self { flow, began: Instant::now(), heard: Vec::new(), said: 0 }
    }

    /// Whether the whole question has come.
    fn was_asked(&mut self) -> bool {
        let mut piece = [0; 4_096];
        while let Poll::Ready(Ok(count @ 1..)) = self.flow.poll_read(&mut context(), &mut piece) {
            self.heard.extend_from_slice(&piece[..count]);
        }
        self.heard.contains(&b'\n')
    }

    /// Says this once the question has come.
    fn answer(&mut self, answer: &[u8]) {
        if self.was_asked() && self.said < answer.len() {
            self.said += self.write(&answer[self.said..]);
        }
    }

    /// Says this again and again, as long as it is taken.
    fn say(&self, words: &[u8]) {
        self.write(words);
    }

    fn write(&self, bytes: &[u8]) -> usize {
        match self.flow.poll_write(&mut context(), bytes) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        }
    }
}

/// As many bytes as tenths of a second have passed, of an answer that takes minutes so.
fn byte_by_byte(call: &mut Call) {
    let due = call.began.elapsed().as_millis() / 100;
    if call.was_asked() && (call.said as u128) < due {
        call.said += call.write(b" ");
    }
}

/// What is said of `count` publications whose checks are answered by `behave`, which has a turn for each call again and again.
fn asked(scene: &mut Scene, count: usize, behave: impl FnMut(&mut Call)) -> String {
    let listener = listen(scene);
    publish(scene, count);
    serve(scene, &listener, count, behave)
}

fn unreported(scene: &mut Scene) -> String {
    let listener = listen(scene);
    declare(scene, 0);
    serve(scene, &listener, 1, |call| call.answer(OK))
}

fn serve(
    scene: &mut Scene,
    listener: &Listener,
    count: usize,
    mut behave: impl FnMut(&mut Call),
) -> String {
    let mut calls: Vec<Call> = Vec::new();
    said(scene, count, |_| {
        while let Poll::Ready(incoming) = listener.poll_accept(&mut context()) {
            calls.extend(incoming.accept().ok().map(Call::new));
        }
        calls.iter_mut().for_each(&mut behave);
    })
}

/// The same of calls that are neither taken nor refused.
fn held(scene: &mut Scene, count: usize) -> String {
    called(scene, count, None)
}

fn called(scene: &mut Scene, count: usize, decide: Option<fn(Incoming)>) -> String {
    let mut undecided = Vec::new();
    let listener = listen(scene);
    publish(scene, count);
    said(scene, count, |_| {
        while let Poll::Ready(incoming) = listener.poll_accept(&mut context()) {
            match decide {
                Some(decide) => decide(incoming),
                None => undecided.push(incoming),
            }
        }
    })
}

/// Nobody listens at the probe port.
fn nobody(scene: &mut Scene) -> String {
    publish(scene, 1);
    said(scene, 1, |_| {})
}

/// A handshake with a window of nothing, so that the question cannot leave.
fn closed_window(scene: &mut Scene) -> String {
    let _no_answer_of_the_stack = listen(scene);
    publish(scene, 1);
    packet_by_packet(scene, |call| answer_to(call, &[], 0))
}

/// Each SYN is answered by a node that has just started, with another boot id each time.
fn other_starts(scene: &mut Scene) -> String {
    let _no_answer_of_the_stack = listen(scene);
    publish(scene, 1);
    packet_by_packet(scene, |call| {
        let boot: [u8; 8] = rand::random();
        let option = [&[254, 12, 0xb0, 0x4e][..], &boot].concat();
        answer_to(call, &option, u16::MAX)
    })
}

/// The target is said to be well, and no visitor gets there.
fn refused_visitors(scene: &mut Scene) -> String {
    let mut calls: Vec<Call> = Vec::new();
    let probes = listen(scene);
    let view = publish(scene, 1).remove(0);
    let port = u16::try_from(view["public_port"].as_u64().unwrap()).unwrap();
    let visits = listen_at(scene, &view);
    let mut visitor = None;
    let answer = |calls: &mut Vec<Call>| {
        while let Poll::Ready(incoming) = probes.poll_accept(&mut context()) {
            calls.extend(incoming.accept().ok().map(Call::new));
        }
        calls.iter_mut().for_each(|call| call.answer(OK));
        while let Poll::Ready(incoming) = visits.poll_accept(&mut context()) {
            incoming.reject_reset();
        }
    };
    let state = said(scene, 1, |_| answer(&mut calls));
    std::thread::scope(|scope| {
        let machine = &scene.lab.visitor;
        let visit = scope.spawn(move || echo(&mut connect(machine, port)?, b"hello"));
        scene.node.end.wait(PATIENCE, |_| {
            answer(&mut calls);
            visit.is_finished().then_some(())
        });
        visitor = Some(visit.join().unwrap());
    });
    match visitor {
        Some(Err(_)) => format!("{state}, and visitors reset"),
        other => format!("{state}, and a visitor {other:?}"),
    }
}

/// Publishes `count` targets, each said to be well, as the relay lists them.
fn publish(scene: &mut Scene, count: usize) -> Vec<Value> {
    let publish = |number| {
        let view = declare(scene, number);
        let path = format!("/v1/nodes/self/publications/lie-{number}/target");
        let report = json!({"ok": true, "detail": ""});
        assert_eq!(scene.node.ask("PUT", &path, Some(&report)).outcome(), "204");
        view
    };
    (0..count).map(publish).collect()
}

/// Publishes, and says nothing of the target.
fn declare(scene: &mut Scene, number: usize) -> Value {
    let name = format!("lie-{number}");
    let body = json!({"name": name, "protocol": "tcp", "port": 9_100 + number, "target": "1"});
    let view = scene.node.ask("POST", "/v1/nodes/self/publications", Some(&body)).json();
    assert_eq!(view["name"], *name, "{view}");
    view
}

fn listen(scene: &Scene) -> Listener {
    let address = scene.node.v6.into();
    scene.node.end.stack().listen(address, PROBE_PORT..=PROBE_PORT, None).unwrap()
}

/// For the visitors of a publication.
fn listen_at(scene: &Scene, view: &Value) -> Listener {
    let port = u16::try_from(view["overlay_port"].as_u64().unwrap()).unwrap();
    scene.node.end.stack().listen(scene.node.v4.into(), port..=port, None).unwrap()
}

/// What the relay says of the `count` publications, each once it has been looked at; `turn` is made again and again meanwhile. A neighbour publishes as
/// well, and has to be live before that.
fn said(scene: &mut Scene, count: usize, mut turn: impl FnMut(&mut Scene)) -> String {
    let began = Instant::now();
    let mut neighbour = Some(Neighbour::publish(scene));
    let mut looked = Instant::now();
    loop {
        scene.node.end.turn();
        turn(scene);
        if looked.elapsed() > LOOK_INTERVAL {
            looked = Instant::now();
            let is_done = neighbour.as_mut().is_none_or(|neighbour| neighbour.is_live(scene));
            if is_done {
                neighbour = None;
            }
            let states = states(scene);
            if is_done && states.len() == count && !states.iter().any(|(_, is_open)| *is_open) {
                remove_neighbour(scene);
                let words: BTreeSet<String> = states.into_iter().map(|(word, _)| word).collect();
                return words.into_iter().collect::<Vec<_>>().join(", ");
            }
        }
        if began.elapsed() > SAID_WITHIN {
            remove_neighbour(scene);
            let missing = if neighbour.is_some() { ", the neighbour not live" } else { "" };
            return format!("{:?}{missing}", states(scene));
        }
    }
}

/// As [`said`], where every packet of the relay's to the probe port is answered by hand.
fn packet_by_packet(scene: &mut Scene, answer: impl Fn(&[u8]) -> Vec<u8>) -> String {
    said(scene, 1, |scene| {
        for packet in scene.node.end.packets(A_MOMENT) {
            let is_call = ports_and_flags(&packet)
                .is_some_and(|(_, to, flags)| to == PROBE_PORT && flags & (SYN | RST) == SYN);
            if is_call {
                scene.node.end.send(&answer(&packet));
            }
        }
    })
}

/// A SYN-ACK to the SYN `call`, which is IPv6.
fn answer_to(call: &[u8], options: &[u8], window: u16) -> Vec<u8> {
    let address = |at: usize| <[u8; 16]>::try_from(&call[at..at + 16]).unwrap();
    let (from, _, _) = ports_and_flags(call).unwrap();
    let sequence = u32::from_be_bytes(call[44..48].try_into().unwrap());
    Segment {
        source: SocketAddr::new(address(24).into(), PROBE_PORT),
        destination: SocketAddr::new(address(8).into(), from),
        sequence: 7_000,
        acknowledgment: sequence.wrapping_add(1),
        flags: SYN | ACK,
        window,
        options,
        payload: &[],
    }
    .packet()
}

/// Word of each of the node's publications, and whether it is still to be looked at.
fn states(scene: &Scene) -> Vec<(String, bool)> {
    let views = scene.views();
    let own = views.iter().filter(|view| view["node"] == scene.node.id.as_str());
    own.map(|view| {
        let state = &view["state"];
        let word = state["state"].as_str().unwrap_or_default().to_owned();
        (word, state["cause"] == "not checked yet")
    })
    .collect()
}

/// What the honest agent publishes meanwhile.
struct Neighbour {
    process: Process,
    began: Instant,
}

impl Neighbour {
    fn publish(scene: &Scene) -> Self {
        let arguments = ["publish", "tcp", "7000", "--name", NEIGHBOUR, "--port", "9099", "--bg"];
        let process = Process::start("publish", scene.agent.command(&arguments));
        Self { process, began: Instant::now() }
    }

    fn is_live(&mut self, scene: &Scene) -> bool {
        let views = scene.views();
        let view = views.iter().find(|view| view["name"] == NEIGHBOUR);
        let is_live = view.is_some_and(|view| view["state"]["state"] == "live");
        let took = self.began.elapsed();
        assert!(is_live || took < LIVE_WITHIN, "{view:?} after {took:?}, {}", self.process.text());
        is_live && !self.process.is_running()
    }
}

fn remove_neighbour(scene: &Scene) {
    scene.agent.bore(&["rm", NEIGHBOUR]).success();
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

const OK: &[u8] = b"{\"ok\":true,\"detail\":\"took a connection\"}\n";
const TERMINAL: &[u8] =
    "{\"ok\":false,\"detail\":\"\\u001b[2J\u{202e}\\n\",\"note\":\"\\u001b]0;x\\u0007\"}\n"
        .as_bytes();
const NEIGHBOUR: &str = "late";
/// How long the relay may take to say what is true of a node whose checks never end, more than it makes at once.
const SAID_WITHIN: Duration = Duration::from_secs(40);
/// How long a neighbour may take, with the visit from outside.
const LIVE_WITHIN: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(12);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const A_MOMENT: Duration = Duration::from_millis(50);
