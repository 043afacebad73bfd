//! HTTPS as other people's programs find it: h2load, sslyze, slowhttptest, curl, Chromium. They decide what is right.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what a test looks for and does not find fails it, and its figures are for the person who ran it"
)]

#[path = "referees/browser.rs"]
mod browser;
#[path = "referees/load.rs"]
mod load;
#[path = "referees/scan.rs"]
mod scan;
#[path = "referees/scene.rs"]
mod scene;
#[path = "referees/slow.rs"]
mod slow;
#[path = "referees/uploads.rs"]
mod uploads;
