//! A stranger at the relay's door who has no key, a dead one or a guessed one, or a good key and bad manners. No node gets in that was not let in, the
//! others notice nothing, and the relay stays well.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test looks for and does not find fails it"
)]

#[path = "hostile_joiner/floods.rs"]
mod floods;
#[path = "hostile_joiner/garden.rs"]
mod garden;
#[path = "hostile_joiner/keys.rs"]
mod keys;
#[path = "hostile_joiner/knocks.rs"]
mod knocks;
#[path = "hostile_joiner/requests.rs"]
mod requests;
#[path = "hostile_joiner/scene.rs"]
mod scene;

use bore_tests::attempts::make_all;
use bore_tests::bore::binary;
use bore_tests::memory::resident_kib;
use scene::Scene;

#[test]
fn no_hostile_joiner_gets_in_or_in_the_way() {
    let mut scene = Scene::new();
    let relay = scene.relay.process().id();
    let before = resident_kib(relay);
    let attempts = [
        &knocks::ATTEMPTS[..],
        &garden::ATTEMPTS,
        &requests::ATTEMPTS,
        &keys::ATTEMPTS,
        &floods::ATTEMPTS,
    ];
    make_all("hostile joiner", &mut scene, &attempts, Scene::damage);

    let after = resident_kib(relay);
    assert!(after < before + MEMORY_KIB_MAX, "the relay grew from {before} to {after} KiB");
    demand_plain("the relay's log", &scene.relay.process().text());
    for arguments in [&["node", "ls"][..], &["key", "ls"], &["audit", "ls"], &["relay", "status"]] {
        demand_plain(&arguments.join(" "), &printed(&scene, arguments));
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

/// Nothing that moves a cursor, changes a colour or turns text round.
fn demand_plain(what: &str, text: &str) {
    let hidden = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let found = text.lines().find(|line| line.chars().any(|c| hidden(&c)));
    assert_eq!(found, None, "{what}");
}

/// What a relay may keep of all this: tables that were never used before, and what the allocator holds.
const MEMORY_KIB_MAX: u64 = 100_000;
