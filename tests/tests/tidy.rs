//! Rules of the house that a compiler does not know.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a surprise ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which rooms a room may use. A room that is not here may not exist.
const ARROWS: [(&str, &[&str]); 11] = [
    ("bore-overlay", &[]),
    ("bore-netstack", &[]),
    ("bore-policy", &[]),
    ("bore-driver", &["bore-netstack", "bore-overlay"]),
    ("bore-control", &["bore-policy"]),
    (
        "bore-relay",
        &["bore-control", "bore-driver", "bore-netstack", "bore-overlay", "bore-policy"],
    ),
    (
        "bore",
        &[
            "bore-control",
            "bore-driver",
            "bore-netstack",
            "bore-overlay",
            "bore-policy",
            "bore-relay",
        ],
    ),
    ("bore-tests", &["bore-driver", "bore-netstack", "bore-overlay"]),
    ("bore-bench", &["bore"]),
    ("bore-rig", &["bore-netstack", "bore-tests"]),
    ("xtask", &[]),
];

/// Rooms that must stay free of an async runtime, and so of sockets, files and clocks of one.
const PURE: [&str; 3] = ["bore-overlay", "bore-netstack", "bore-policy"];

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
