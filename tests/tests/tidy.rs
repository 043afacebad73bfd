//! Rules of the house that a compiler does not know.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a surprise ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which rooms a room may use. A room that is not here may not exist.
const ARROWS: [(&str, &[&str]); 15] = [
    ("bore-rate", &[]),
    ("bore-overlay", &["bore-rate"]),
    ("bore-netstack", &["bore-rate"]),
    ("bore-policy", &[]),
    ("bore-api", &["bore-policy"]),
    ("bore-driver", &["bore-netstack", "bore-overlay"]),
    ("bore-control", &["bore-api", "bore-policy", "bore-rate"]),
    ("bore-agent", &["bore-api", "bore-driver", "bore-netstack", "bore-overlay", "bore-policy"]),
    ("bore-edge", &["bore-api", "bore-driver", "bore-netstack", "bore-policy"]),
    (
        "bore-relay",
        &[
            "bore-api",
            "bore-control",
            "bore-driver",
            "bore-edge",
            "bore-netstack",
            "bore-overlay",
            "bore-policy",
            "bore-rate",
        ],
    ),
    ("bore", &["bore-agent", "bore-api", "bore-overlay", "bore-policy", "bore-relay"]),
    ("bore-tests", &["bore-driver", "bore-netstack", "bore-overlay"]),
    ("bore-bench", &["bore-agent", "bore-api", "bore-overlay"]),
    ("bore-rig", &["bore-netstack", "bore-tests"]),
    ("xtask", &[]),
];

/// Rooms that must stay free of an async runtime, and so of sockets, files and clocks of one.
const PURE: [&str; 5] = ["bore-api", "bore-overlay", "bore-netstack", "bore-policy", "bore-rate"];
/// Their folders, and what else is as pure.
const PURE_SOURCES: [&str; 7] =
    ["api/src", "overlay/src", "netstack/src", "policy/src", "rate/src", ENDPOINT[0], ENDPOINT[1]];
/// The loop of a shard, which a simulator runs as well.
const ENDPOINT: [&str; 2] = ["overlay/driver/src/endpoint.rs", "overlay/driver/src/endpoint"];
/// What its room has and it may not use: the ground that it stands on.
const GROUND: [&str; 5] = ["tokio", "quinn_udp", "libc", "UdpSocket", "crate::socket"];
/// The one file of them that waits: handles for async code.
const ASYNC_DOOR: &str = "netstack/src/listener.rs";
/// What reads a clock.
const CLOCK_READS: [&str; 3] =
    [concat!("Instant::", "now"), concat!("SystemTime::", "now"), concat!(".elapsed", "()")];

#[test]
fn rooms_use_only_the_rooms_that_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    for (room, dependencies) in rooms() {
        let may =
            allowed.get(room.as_str()).unwrap_or_else(|| panic!("{room} is in no list of arrows"));
        for dependency in dependencies.iter().filter(|name| allowed.contains_key(name.as_str())) {
            assert!(may.contains(&dependency.as_str()), "{room} must not use {dependency}");
        }
    }
}

#[test]
fn pure_rooms_have_no_runtime() {
    for (room, dependencies) in
        rooms().into_iter().filter(|(room, _)| PURE.contains(&room.as_str()))
    {
        assert!(!dependencies.contains("tokio"), "{room} has tokio in its manifest");
    }
}

#[test]
fn pure_rooms_read_no_clock_and_wait_for_nothing() {
    for (path, text) in production_sources() {
        if !PURE_SOURCES.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let path = path.display();
        for read in CLOCK_READS {
            assert!(!text.contains(read), "{path} reads a clock: take the time as an argument");
        }
        let is_door = path.to_string() == ASYNC_DOOR;
        assert!(is_door || !text.contains("async fn"), "{path} waits: only {ASYNC_DOOR} may");
    }
}

#[test]
fn the_endpoint_has_no_runtime_and_no_socket() {
    let is_endpoints = |path: &Path| ENDPOINT.iter().any(|place| path.starts_with(place));
    let files: Vec<_> = production_sources().filter(|(path, _)| is_endpoints(path)).collect();
    assert!(files.len() > 1, "{ENDPOINT:?} are not there");
    for (path, text) in files {
        let found = GROUND.iter().find(|ground| text.contains(**ground));
        assert!(found.is_none(), "{} uses {found:?}", path.display());
    }
}

#[test]
fn codes_of_errors_are_written_in_the_registry_alone() {
    for (path, text) in production_sources() {
        let is_elsewhere =
            ["cli/src", "agent/src", "relay/src", "relay/control/src", "relay/edge/src"]
                .iter()
                .any(|folder| path.starts_with(folder));
        let code = text.split('"').find(|part| is_code(part)).filter(|_| is_elsewhere);
        assert!(code.is_none(), "{} has {code:?}: take bore_api::Code", path.display());
    }
}

#[test]
fn rooms_forbid_unsafe_code_where_they_need_none() {
    for (path, text) in sources() {
        let is_root = ["src/lib.rs", "src/main.rs"].iter().any(|root| path.ends_with(root));
        let is_driver = path.starts_with("overlay/driver");
        let is_forbidden = text.contains("#![forbid(unsafe_code)]");
        assert!(!is_root || is_driver || is_forbidden, "{} lacks it", path.display());
    }
}

#[test]
fn the_shipped_binary_never_has_a_mocked_clock() {
    let tree =
        cargo(&["tree", "--package", "bore", "--edges", "features,normal", "--prefix", "none"]);
    assert!(tree.contains("boringtun"), "the feature graph could not be read: {tree}");
    assert!(!tree.contains("mock-instant") && !tree.contains("mock_instant"));
}

#[test]
fn unsafe_code_is_only_in_the_driver() {
    for (path, text) in sources() {
        let allowed =
            path.starts_with("overlay/driver") || path == Path::new("tests/tests/tidy.rs");
        assert!(allowed || !text.contains("unsafe {"), "{} has unsafe code", path.display());
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    for (path, text) in sources() {
        let documented = text
            .lines()
            .find(|line| !line.starts_with("#!"))
            .is_some_and(|line| line.starts_with("//!"));
        assert!(documented, "{} has no module doc", path.display());
        let lines = text.lines().count();
        assert!(
            lines <= 600,
            "{} has {lines} lines: look for a second state struct",
            path.display()
        );
    }
}

#[test]
fn no_test_is_switched_off() {
    let attribute = concat!("#[ign", "ore");
    for (path, text) in sources() {
        assert!(!text.contains(attribute), "{} has a test that never runs", path.display());
    }
}

#[test]
fn the_map_is_short() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    assert!(map.lines().count() < 200, "docs/architecture.md is too long to be read");
}

/// Workspace packages with the names of their normal dependencies.
fn rooms() -> Vec<(String, BTreeSet<String>)> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version=1"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (text(&package["name"]), normal_dependencies(package))).collect()
}

fn normal_dependencies(package: &Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    dependencies.filter(|item| item["kind"].is_null()).map(|item| text(&item["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--offline")
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What of [`sources`] is no test.
fn production_sources() -> impl Iterator<Item = (PathBuf, String)> {
    let is_test = |path: &Path| {
        path.components().any(|part| part.as_os_str() == "tests")
            || ["tests.rs", "test_support.rs"].iter().any(|name| path.ends_with(name))
    };
    let production = |text: String| {
        let (code, _) = text.split_once("mod tests {").unwrap_or((&text, ""));
        code.to_owned()
    };
    let sources = sources().into_iter().filter(move |(path, _)| !is_test(path));
    sources.map(move |(path, text)| (path, production(text)))
}

/// `B2104` and its like.
fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix('B').unwrap_or_default();
    digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Every Rust file of the workspace, by its path from the root.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
