//! Chromium opens a published page, with the authority in its own store of certificates and without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bore_tests::namespace::must_run;
use bore_tests::secured::Secured;

use crate::scene::{self, HOST};

#[test]
fn a_browser_opens_a_published_page_without_a_warning() {
    let (scene, _nginx) = scene::start();
    fs::write(scene::files(&scene).join("page.html"), PAGE).unwrap();
    let _published = scene::publish(&scene);
    let trusting = Home::new(&scene, "trusting");
    trusting.trust(scene.authority.roots());
    let (shown, complaints) = trusting.dump(&scene);
    assert!(!complaints.contains("ERR_CERT"), "{complaints}");
    for wanted in ["A published page", "secure=true", "protocol=h2", "origin=https://app.t.test"] {
        assert!(shown.contains(wanted), "no {wanted} in {shown}: {complaints}");
    }
    let picture = trusting.picture(&scene);
    demand_picture(&picture);

    let doubting = Home::new(&scene, "doubting");
    let (shown, complaints) = doubting.dump(&scene);
    assert!(
        complaints.contains("Page load failed: net::ERR_CERT_AUTHORITY_INVALID"),
        "{complaints}"
    );
    assert!(!shown.contains("A published page"), "{shown}");
}

/// A person's folder, with a browser that has never been used.
struct Home(PathBuf);

impl Home {
    fn new(scene: &Secured, name: &str) -> Self {
        Self(scene.lab.folder(name))
    }

    /// What "import an authority" does in the browser's settings.
    fn trust(&self, roots: &Path) {
        let folder = self.0.join(".pki/nssdb");
        fs::create_dir_all(&folder).unwrap();
        let database = format!("sql:{}", folder.display());
        let certutil = || Command::new("certutil");
        must_run(certutil().args(["-d", &database, "-N", "--empty-password"]));
        let mut add = certutil();
        add.args(["-d", &database, "-A", "-n", "test", "-t", "C,,", "-i"]).arg(roots);
        must_run(&mut add);
    }

    /// The page as it stands when its scripts have run, and what the browser complains of.
    fn dump(&self, scene: &Secured) -> (String, String) {
        let output = self.chromium(scene).args(["--dump-dom", &url()]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    /// The page as it looks. Kept where `BORE_TEST_PICTURES` says, for a person.
    fn picture(&self, scene: &Secured) -> PathBuf {
        let kept = std::env::var_os("BORE_TEST_PICTURES").map(PathBuf::from);
        let path = kept.unwrap_or_else(|| self.0.clone()).join("page.png");
        let mut command = self.chromium(scene);
        command.arg(format!("--screenshot={}", path.display())).arg("--window-size=800,600");
        must_run(command.arg(url()));
        path
    }

    fn chromium(&self, scene: &Secured) -> Command {
        let mut command = scene.lab.visitor.command("timeout");
        // Tests run as root, which a sandbox of Chromium's does not.
        command.args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu"]);
        command.args(["--disable-dev-shm-usage", "--no-first-run", "--virtual-time-budget=5000"]);
        command.arg(format!("--user-data-dir={}", self.0.join("profile").display()));
        command.env("HOME", &self.0).env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
        command
    }
}

fn url() -> String {
    format!("https://{HOST}/files/page.html")
}

/// A PNG of the window's size that is not of one colour: those shrink to next to nothing.
fn demand_picture(path: &Path) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{} is no picture", path.display());
    let number = |at: usize| bytes.get(at..at + 4).map(|four| four.try_into().unwrap());
    assert_eq!(number(16).map(u32::from_be_bytes), Some(800));
    assert_eq!(number(20).map(u32::from_be_bytes), Some(600));
    assert!(bytes.len() > PICTURE_BYTES_MIN, "{} bytes", bytes.len());
}

const PICTURE_BYTES_MIN: usize = 6_000;

const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8"><title>bore</title>
<style>body { font-family: sans-serif; background: linear-gradient(#fff, #9cf); margin: 3em }</style>
<h1>A published page</h1>
<p id="seen">no script has run</p>
<script>
const [navigation] = performance.getEntriesByType("navigation");
document.getElementById("seen").textContent =
  `secure=${isSecureContext} protocol=${navigation.nextHopProtocol} origin=${location.origin}`;
</script>
"#;
