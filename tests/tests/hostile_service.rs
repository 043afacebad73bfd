//! A service that its owner has lost, or never had: whatever it answers, when it leaves, and where it leads, its visitors get an answer that can
//! be read in one way or none at all, and relay, agent and the agent's other services go on as if it were not there.
//!
//! After each attempt an honest HTTP, TCP and UDP service of the same agent answers at once, their states are true, no program holds a connection
//! to the hostile one any more, and neither process has grown.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops where it fails, and its figures are for the person who ran it"
)]

#[path = "hostile_service/answers.rs"]
mod answers;
#[path = "hostile_service/datagrams.rs"]
mod datagrams;
#[path = "hostile_service/lies.rs"]
mod lies;
#[path = "hostile_service/places.rs"]
mod places;
#[path = "hostile_service/scene.rs"]
mod scene;
#[path = "hostile_service/stages.rs"]
mod stages;
#[path = "hostile_service/wire.rs"]
mod wire;

use scene::{EVIL_PORT, Scene};

#[test]
fn no_answer_is_read_in_two_ways_or_taken_for_a_neighbours() {
    let scene = with_hostile_web();
    let tables = [
        &answers::HEADS[..],
        &answers::SPLITS,
        &answers::ENDS,
        &answers::INTERIM,
        &answers::CLAIMS,
    ];
    for attempt in tables.into_iter().flatten() {
        answers::attempt(&scene, attempt);
    }
    lies::translated(&scene);
    scene.finish("answers");
}

#[test]
fn no_service_that_stops_or_leaves_holds_anybody() {
    let scene = with_hostile_web();
    scene.publish(&["tcp", &EVIL_PORT.to_string(), "--name", "bad-tcp", "--port", "20066"]);
    scene.wait_for("bad-tcp", "live");
    for stage in &stages::STAGES {
        for port in [80, 20_066] {
            stages::attempt(&scene, stage, port);
        }
    }
    datagrams::attempts(&scene);
    scene.finish("stages");
}

#[test]
fn no_service_that_is_not_what_it_says_is_called_live() {
    let scene = Scene::live();
    lies::handshakes(&scene);
    lies::certificates(&scene);
    lies::frames(&scene);
    scene.finish("lies");
}

#[test]
fn no_target_that_hangs_or_leads_back_takes_its_neighbours_along() {
    let scene = Scene::live();
    places::full_backlog(&scene);
    places::flapping(&scene);
    places::no_sockets(&scene);
    places::own_socket(&scene);
    places::health(&scene);
    places::loops(&scene);
    scene.finish("places");
}

fn with_hostile_web() -> Scene {
    let scene = Scene::live();
    scene.publish(&["http", &EVIL_PORT.to_string(), "--name", "bad"]);
    scene.wait_for("bad", "live");
    scene
}
