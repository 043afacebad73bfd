//! The static x86-64 tarball with its checksum.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::shell::{cargo, output, root, run, say};

/// Builds `target/dist/bore-VERSION-x86_64-linux.tar.gz`, reproducibly: no times, no owners, sorted.
pub(crate) fn build() -> Result<(), String> {
    let mut command =
        cargo(&["build", "--package", "bore", "--profile", "dist", "--target", TARGET]);
    run(command.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let version = version()?;
    let name = format!("bore-{version}-x86_64-linux");
    let folder = root().join("target/dist");
    let staged = folder.join(&name);
    stage(&staged)?;
    let tarball = folder.join(format!("{name}.tar.gz"));
    pack(&folder, &name, &tarball)?;
    let checksum = checksum(&folder, &tarball)?;
    say(&format!("{}\n{checksum}", tarball.display()));
    Ok(())
}

fn stage(staged: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot stage the tarball: {error}");
    if staged.exists() {
        fs::remove_dir_all(staged).map_err(failed)?;
    }
    fs::create_dir_all(staged).map_err(failed)?;
    let binary = root().join("target").join(TARGET).join("dist/bore");
    fs::copy(binary, staged.join("bore")).map_err(failed)?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(root().join(file), staged.join(file)).map_err(failed)?;
    }
    Ok(())
}

fn pack(folder: &Path, name: &str, tarball: &Path) -> Result<(), String> {
    let mut tar = Command::new("tar");
    tar.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "--use-compress-program=gzip -n9",
    ]);
    run(tar.arg("-cf").arg(tarball).arg("-C").arg(folder).arg(name))
}

fn checksum(folder: &Path, tarball: &Path) -> Result<String, String> {
    let file = tarball.file_name().unwrap_or_default();
    let line = output(Command::new("sha256sum").arg(file).current_dir(folder))?;
    let path = folder.join("SHA256SUMS");
    fs::write(&path, format!("{line}\n"))
        .map_err(|error| format!("cannot write {path:?}: {error}"))?;
    Ok(line)
}

fn version() -> Result<String, String> {
    let metadata = output(&mut cargo(&["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let packages = metadata.get("packages").and_then(serde_json::Value::as_array);
    let bore = packages
        .into_iter()
        .flatten()
        .find(|package| package.get("name").is_some_and(|name| name == "bore"));
    let version =
        bore.and_then(|package| package.get("version")).and_then(serde_json::Value::as_str);
    version.map(str::to_owned).ok_or_else(|| "cargo metadata names no package bore".to_owned())
}

const TARGET: &str = "x86_64-unknown-linux-gnu";
