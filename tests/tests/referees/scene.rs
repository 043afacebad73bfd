//! A relay that speaks HTTPS, and nginx behind it.

use std::path::PathBuf;

use bore_tests::bore::Publication;
use bore_tests::lab::RELAY;
use bore_tests::origins::Nginx;
use bore_tests::secured::Secured;

/// Starts both, with a certificate for [`HOST`] and the relay's own address. nginx serves what is in [`files`] below `/files/`, and takes
/// files below `/uploads/`.
pub(crate) fn start() -> (Secured, Nginx) {
    start_with("")
}

/// The same with more lines in the `[tls]` table of the relay.
pub(crate) fn start_with(tls: &str) -> (Secured, Nginx) {
    beside_nginx(Secured::with(&[HOST, &RELAY.to_string()], tls))
}

/// The same with a relay that waits half as long as by default for a visitor that pauses.
pub(crate) fn start_impatient() -> (Secured, Nginx) {
    let names = [HOST, &RELAY.to_string()];
    beside_nginx(Secured::with_settings(&names, "visitor_pause_seconds_max = 30", ""))
}

fn beside_nginx(scene: Secured) -> (Secured, Nginx) {
    let nginx = Nginx::start(&scene.lab, 3000, &files(&scene));
    (scene, nginx)
}

/// Publishes nginx under [`HOST`], live.
pub(crate) fn publish(scene: &Secured) -> Publication {
    let published = scene.agent.publish(&["http", "3000", "--name", "app"]);
    scene.relay.wait_for_state("app", "live");
    published
}

/// The folder that nginx serves.
pub(crate) fn files(scene: &Secured) -> PathBuf {
    scene.lab.folder("files")
}

/// The file with the root, as text for a command line.
pub(crate) fn roots(scene: &Secured) -> String {
    scene.roots().display().to_string()
}

/// Has a certificate.
pub(crate) const HOST: &str = "app.t.test";
/// Has none.
pub(crate) const PLAIN_HOST: &str = "plain.t.test";
