//! `docs/rfc.md` names files and tests: they exist, and no script is missing.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_test_and_file_of_the_document_exists() {
    let sources = sources();
    for name in quoted() {
        let exists = if name.ends_with(".rs") {
            // A file of this room, or of another one by its path.
            ["src", ".."].iter().any(|base| root().join(base).join(&name).exists())
        } else {
            sources.iter().any(|(_, text)| text.contains(&format!("fn {name}(")))
        };
        assert!(exists, "docs/rfc.md names `{name}`");
    }
}

#[test]
fn every_script_stands_in_the_document() {
    let names = quoted();
    for (path, text) in sources().iter().filter(|(path, _)| path.parent().is_some_and(is_scripts)) {
        for test in text.split("#[test]\nfn ").skip(1) {
            let name = test.split('(').next().unwrap();
            let is_listed = names.iter().any(|listed| listed == name);
            assert!(is_listed || path.ends_with("document.rs"), "docs/rfc.md lacks `{name}`");
        }
    }
}

/// What stands between backticks in the rows of the table.
fn quoted() -> Vec<String> {
    let text = fs::read_to_string(root().join("../docs/rfc.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let names: Vec<String> =
        rows.flat_map(|row| row.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert!(names.len() > 100, "the table is read");
    names
}

/// Every source file of the netstack, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let (mut folders, mut files) = (vec![root().join("src"), root().join("tests")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    files
}

fn is_scripts(folder: &Path) -> bool {
    folder.ends_with("tests/scripts")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
