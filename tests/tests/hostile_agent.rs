//! A node that joined as it should and then misbehaves: in its tunnel, at the relay's API, behind its own publications. Those of others are not touched, and
//! the relay stays well.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test looks for and does not find fails it"
)]

#[path = "hostile_agent/api.rs"]
mod api;
#[path = "hostile_agent/checks.rs"]
mod checks;
#[path = "hostile_agent/packets.rs"]
mod packets;
#[path = "hostile_agent/scene.rs"]
mod scene;
#[path = "hostile_agent/services.rs"]
mod services;
#[path = "hostile_agent/tunnel.rs"]
mod tunnel;

use std::time::Duration;

use bore_tests::attempts::{Attempt, make_all};
use bore_tests::bore::binary;
use bore_tests::memory::resident_kib;
use scene::Scene;

#[test]
fn a_hostile_agent_harms_nobody_but_itself() {
    make([
        &api::ATTEMPTS,
        &packets::ATTEMPTS,
        &tunnel::ATTEMPTS,
        &services::ATTEMPTS,
        &checks::LAST,
    ]);
}

#[test]
fn a_hostile_agent_holds_up_no_check_but_its_own() {
    make([&checks::ATTEMPTS]);
}

fn make<const LISTS: usize>(attempts: [&[Attempt<Scene>]; LISTS]) {
    let mut scene = Scene::new();
    let relay = scene.relay.process().id();
    let before = resident_kib(relay);
    make_all("hostile agent", &mut scene, &attempts, Scene::damage);

    let after = resident_kib(relay);
    assert!(after < before + MEMORY_KIB_MAX, "the relay grew from {before} to {after} KiB");
    assert_eq!(hidden(&scene.relay.process().text()), None, "in the relay's log");
    assert_eq!(hidden(&scene.agent.process().text()), None, "in the honest agent's log");
    for arguments in [&["ls", "--all"][..], &["node", "ls"], &["audit", "ls"], &["relay", "status"]]
    {
        assert_eq!(hidden(&printed(&scene, arguments)), None, "{arguments:?}");
    }
}

/// What an administrator sees on a terminal.
fn printed(scene: &Scene, arguments: &[&str]) -> String {
    let mut command = scene.lab.relay.command(binary());
    command.args(arguments).current_dir(scene.lab.path());
    command.env("BORE_API", "http://127.0.0.1:7400");
    command.env("BORE_API_KEY_FILE", scene.relay.state().join("admin.key"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A line that moves a cursor, changes a colour or turns text round.
fn hidden(text: &str) -> Option<&str> {
    let is_hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.lines().find(|line| line.chars().any(is_hidden))
}

/// How long an answer is waited for where none may come.
const SILENCE: Duration = Duration::from_millis(150);
/// What a relay may keep of all this: tables and buffers that were never used before, and what the allocator holds.
const MEMORY_KIB_MAX: u64 = 200_000;
