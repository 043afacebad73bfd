//! Checks of the DNS records that the relay on this machine needs.

use bore_relay::dns::lookups::Lookups;
use bore_relay::dns::records::{Finding, Wanted};

use super::Check;
use crate::context::local_relay;

/// Nothing where no relay is set up, or none that has a name.
pub(super) async fn checks() -> Vec<Check> {
    let Some(config) = local_relay() else { return Vec::new() };
    let wanted = Wanted::of(&config);
    if wanted.records().is_empty() {
        return Vec::new();
    }
    match Lookups::system() {
        Ok(lookups) => wanted.check(&lookups, true).await.into_iter().map(check).collect(),
        Err(error) => {
            vec![Check::bad("dns", error.to_string(), "look at /etc/resolv.conf")]
        }
    }
}

fn check(finding: Finding) -> Check {
    let detail = format!("{}: {}", finding.subject, finding.seen);
    Check { name: "dns", ok: finding.ok, detail, next: finding.next }
}
