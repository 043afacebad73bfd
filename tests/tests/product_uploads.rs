//! What a visitor sends, by curl in every version of HTTP, to a real web server behind HTTPS and the tunnel.

use bore_tests::blob::{Blob, sha256_of};
use bore_tests::curl::Answer;
use bore_tests::origins::Nginx;
use bore_tests::secured::Secured;

#[test]
fn uploads_arrive_in_every_version_of_http() {
    let scene = Scene::new();
    for version in ["--http1.0", "--http1.1", "--http2"] {
        let name = version.trim_start_matches('-');
        let answer = scene.upload(version, &format!("uploads/{name}"), &[]);
        assert_eq!(answer.status, 201, "{version}: {answer:?}");
        assert_eq!(sha256_of(&scene.nginx.upload(name)), scene.blob.sha256(), "{version}");
    }
}

#[test]
fn a_visitor_that_waits_to_be_told_is_told() {
    let scene = Scene::new();
    for version in ["--http1.1", "--http2"] {
        let name = version.trim_start_matches('-');
        // Longer than curl has in all: it would send nothing unasked.
        let patient = ["--header", "Expect: 100-continue", "--expect100-timeout", "60"];
        let answer = scene.upload(version, &format!("uploads/{name}"), &patient);
        assert_eq!(answer.status, 201, "{version}: {answer:?}");
        assert_eq!(sha256_of(&scene.nginx.upload(name)), scene.blob.sha256(), "{version}");

        let answer = scene.upload(version, &format!("small/{name}"), &patient);
        assert_eq!(answer.status, 413, "{version}: {answer:?}");
        // By HTTP/2 curl does not wait; that is tested at the edge, with another client.
        let is_unsent = answer.body.ends_with("uploaded 0");
        assert!(is_unsent || version == "--http2", "{version}: {answer:?}");
    }
}

#[test]
fn an_upload_that_is_refused_on_its_way_gets_the_answer() {
    let scene = Scene::new();
    for version in ["--http1.1", "--http2"] {
        let answer = scene.upload(version, "small/unasked", &["--header", "Expect:"]);
        assert_eq!(answer.status, 413, "{version}: {answer:?}");
        // The next visitor of this agent is served as if nothing had been.
        assert_eq!(scene.secured.get(&["https://app.t.test/"]).status, 200);
    }
}

/// A web server that is published, and a file to send there.
struct Scene {
    nginx: Nginx,
    secured: Secured,
    blob: Blob,
}

impl Scene {
    fn new() -> Self {
        let secured = Secured::new(&["*.t.test"]);
        let nginx = Nginx::start(&secured.lab, 3000, secured.lab.path());
        secured.agent.publish_in_background(&["http", "3000", "--name", "app"]);
        secured.relay.wait_for_state("app", "live");
        Self { nginx, secured, blob: Blob::new(32) }
    }

    fn upload(&self, version: &str, path: &str, more: &[&str]) -> Answer {
        let (file, url) = (self.blob.path(), format!("https://app.t.test/{path}"));
        let file = file.display().to_string();
        let printing = "uploaded %{size_upload}";
        let standard = [version, "--upload-file", &file, "--write-out", printing, &url];
        self.secured.get(&[&standard, more].concat())
    }
}
