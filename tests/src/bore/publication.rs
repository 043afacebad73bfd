//! A publication that lives as long as its `bore publish` does.

use rustix::process::Signal;
use serde_json::Value;

use crate::process::Process;
use crate::wait::SOON;

/// `bore publish` in the foreground. Dropping it kills the command.
#[derive(Debug)]
pub struct Publication {
    process: Process,
    published: Value,
}

impl Publication {
    pub(super) fn open(mut process: Process) -> Self {
        let published = process.event("published");
        Self { process, published }
    }

    /// What was printed when the address was known.
    pub fn published(&self) -> &Value {
        &self.published
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.published["name"].as_str().expect("a name")
    }

    /// Its public address, `tcp://203.0.113.1:22`.
    pub fn url(&self) -> &str {
        self.published["url"].as_str().expect("an address")
    }

    /// Its public port.
    pub fn port(&self) -> u16 {
        let port = self.url().rsplit(':').next().and_then(|text| text.parse().ok());
        port.unwrap_or_else(|| panic!("no port in {}", self.url()))
    }

    /// The command.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ctrl-C: it is taken back, and that is exit code 0.
    pub fn take_back(mut self) {
        self.process.signal(Signal::INT);
        let status = self.process.wait(SOON);
        assert!(status.success(), "bore publish ended with {status}");
    }
}
