//! curl uploads more than fits into anybody's memory.

use std::process::{Child, Stdio};

use bore_tests::blob::{pour, sha256_of};
use bore_tests::length::Length;
use bore_tests::memory::resident_kib;
use bore_tests::secured::Secured;

use crate::scene::{self, HOST};

#[test]
fn a_huge_upload_by_http_1_takes_no_memory() {
    upload("--http1.1");
}

#[test]
fn a_huge_upload_by_http_2_takes_no_memory() {
    upload("--http2");
}

/// The body's length is not known beforehand; what arrives is what was sent, and nobody keeps it on the way.
fn upload(version: &str) {
    let (mut scene, nginx) = scene::start();
    let _published = scene::publish(&scene);
    let mebibytes = Length::pick(128, 512, 5 * 1024);
    let parts = [scene.relay.process().id(), scene.agent.process().id()];
    let before = parts.map(resident_kib);
    let mut curl = start_curl(&scene, version);
    let mut body = curl.stdin.take().unwrap();
    let sending = std::thread::spawn(move || pour(mebibytes, &mut body).unwrap());
    let mut most = before;
    while !sending.is_finished() {
        most = keep_most(most, parts.map(resident_kib));
        std::thread::sleep(LOOK_INTERVAL);
    }
    let sent = sending.join().unwrap();
    let output = curl.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "201", "{output:?}");
    most = keep_most(most, parts.map(resident_kib));
    let copy = nginx.upload("copy");
    assert_eq!(sha256_of(&copy), sent);
    println!("{version}, {mebibytes} MiB: relay and agent had {before:?}, at most {most:?} KiB");
    for (before, most) in before.iter().zip(most) {
        assert!(most - before <= GROWTH_KIB_MAX, "{before} KiB became {most}");
    }
}

fn start_curl(scene: &Secured, version: &str) -> Child {
    let mut command = scene.lab.visitor.command("curl");
    command.args(["--silent", "--show-error", "--write-out", "%{http_code}", version]);
    command.args(["--cacert", &scene::roots(scene), "--upload-file", "-"]);
    command.arg(format!("https://{HOST}/uploads/copy"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn keep_most(most: [u64; 2], seen: [u64; 2]) -> [u64; 2] {
    let ([first, second], [other_first, other_second]) = (most, seen);
    [first.max(other_first), second.max(other_second)]
}

/// Windows of the tunnel and buffers of one request; a hundredth of what is sent in the longest run.
const GROWTH_KIB_MAX: u64 = 48 * 1024;
const LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(50);
