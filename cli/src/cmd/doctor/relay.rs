//! Checks of the way to the relay: the agent, the handshake, the path's MTU, the clocks.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bore_api::Code;
use bore_overlay::limits::INNER_MTU;

use super::Check;
use crate::context::{Context, local_relay};
use crate::error::{CliError, CliResult};
use crate::link::Link;
use bore_agent::Status;

/// Clocks may differ by this much before it is told; joining and tunnels work all the same.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(30);

/// Through the running agent, or through one that lives for these checks.
pub(super) async fn checks(context: &Context<'_>, state: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    if state.join("identity.json").exists() {
        checks.extend(of_agent(context).await);
    }
    checks.extend(clock(context).await);
    checks
}

async fn of_agent(context: &Context<'_>) -> Vec<Check> {
    let link = match Link::open(context).await {
        Ok(link) => link,
        Err(error) => return vec![Check::failed("relay", &error)],
    };
    let agent = if link.is_own() {
        Check::good(
            "agent",
            "none runs: publications are offline until bore join or bore service install",
        )
    } else {
        Check::good("agent", "runs")
    };
    let status = link.status().await;
    link.close().await;
    match status {
        Err(error) => vec![agent, Check::failed("relay", &error)],
        Ok(status) => vec![agent, reached(&status), mtu(&status)],
    }
}

fn reached(status: &Status) -> Check {
    let Some(endpoint) = status.endpoint else {
        let cause = status.cause.clone().unwrap_or_else(|| "no answer yet".to_owned());
        return Check::failed(
            "relay",
            &CliError::new(Code::RELAY_UNREACHABLE, format!("{} is not reached", status.relay))
                .cause(cause),
        );
    };
    let time = status.round_trip_ms.map(|ms| format!(", {ms:.1} ms")).unwrap_or_default();
    Check::good("relay", format!("{} answers at {endpoint}{time}", status.relay))
}

/// What probes inside the tunnel have shown, which no firewall hides and no kernel guesses.
fn mtu(status: &Status) -> Check {
    let Some(endpoint) = status.endpoint else {
        return Check::good("mtu", "not measured: the relay is not reached");
    };
    let (relay, wanted) = (endpoint.ip(), full_datagram_bytes(endpoint));
    match status.path_mtu_bytes {
        None => Check::good("mtu", "not measured: the relay does not answer probes of the path"),
        Some(bytes) if bytes >= wanted => {
            Check::good("mtu", format!("packets of {bytes} bytes reach {relay}"))
        }
        Some(bytes) => Check::good(
            "mtu",
            format!(
                "packets of {bytes} bytes reach {relay}, those of {wanted} do not (another VPN \
                 underneath?): the tunnel sends shorter ones, and about 7 % more of them"
            ),
        ),
    }
}

/// What a datagram of the tunnel measures with the longest packet inside.
fn full_datagram_bytes(endpoint: SocketAddr) -> usize {
    let ip_header_bytes = if endpoint.is_ipv4() { 20 } else { 40 };
    INNER_MTU + 32 + 8 + ip_header_bytes
}

/// Only where the relay's API is at hand: nothing of bore needs clocks to agree, but logs and keys' ends are read by them.
async fn clock(context: &Context<'_>) -> Option<Check> {
    if local_relay().is_none() && !context.names_network() {
        return None;
    }
    let date = date(context).await;
    Some(match date {
        Err(error) => Check::failed("relay API", &error),
        Ok(None) => Check::good("clock", "the relay does not say what time it is"),
        Ok(Some(theirs)) => compare(SystemTime::now(), theirs),
    })
}

async fn date(context: &Context<'_>) -> CliResult<Option<SystemTime>> {
    let date = context.api_without_key()?.date().await?;
    Ok(date.and_then(|date| httpdate::parse_http_date(&date).ok()))
}

fn compare(ours: SystemTime, theirs: SystemTime) -> Check {
    let difference = ours.duration_since(theirs).unwrap_or_else(|error| error.duration());
    let seconds = difference.as_secs();
    if difference <= CLOCK_DIFFERENCE_MAX {
        return Check::good("clock", format!("within {} s of the relay's", seconds + 1));
    }
    let side = if ours > theirs { "ahead of" } else { "behind" };
    Check::bad(
        "clock",
        format!("{seconds} s {side} the relay's"),
        "set it by NTP (timedatectl set-ntp true) on the one that is wrong",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_told_with_the_direction() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(compare(now, now + Duration::from_secs(3)).ok);
        let check = compare(now + Duration::from_secs(86_400), now);
        assert!(!check.ok && check.detail.contains("86400 s ahead"), "{check:?}");
    }
}
