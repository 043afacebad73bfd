//! Many agents and one relay.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::swarm::{Plan, Swarm};
use tokio::task::JoinSet;

use crate::process::{Relay, Setup};
use crate::report::{head, ms, quantile, row};
use crate::{Result, origin};

pub(crate) async fn run(bore: &Path, count: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut relay = Relay::start(bore, folder.path(), Setup::default())?;
    let target = origin::echo().await?.to_string();
    let empty_kib = relay.process().resident_kib()?;

    let join_key = relay.join_key.clone();
    let plan = Plan { join_key: &join_key, folder: folder.path(), agents: count, at_once: AT_ONCE };
    let began = Instant::now();
    let mut swarm = Swarm::join(&plan).await?;
    let joined = began.elapsed();
    let relay_joined = relay.process().cpu()?;
    swarm.publish(&target, AT_ONCE).await?;
    let published = began.elapsed().saturating_sub(joined);
    let relay_published = relay.process().cpu()?.saturating_sub(relay_joined);
    let ports = swarm.ports();
    let mut fetched = fetch_all(&ports, Instant::now()).await?;
    head(&format!("{count} agents"));
    row("all joined", &ms(joined));
    row("of it processor of the relay", &ms(relay_joined));
    row("all published", &ms(published));
    row("of it processor of the relay", &ms(relay_published));
    row("each fetched once by a visitor, last after", &ms(quantile(&mut fetched, 1.0)));

    let resident = relay.process().resident_kib()?;
    row(
        "relay memory",
        &format!(
            "{} MiB ({} KiB an agent)",
            resident / 1024,
            resident.saturating_sub(empty_kib) / count.max(1) as u64
        ),
    );
    row(
        "relay processor when idle",
        &format!("{:.1} % of one core", idle_share(&relay).await? * 100.0),
    );

    relay.kill_and_restart()?;
    let mut back = fetch_all(&ports, Instant::now()).await?;
    row("relay killed and restarted: back, median", &ms(quantile(&mut back, 0.5)));
    row("back, 99 of 100", &ms(quantile(&mut back, 0.99)));
    row("back, last", &ms(quantile(&mut back, 1.0)));
    swarm.stop().await;
    Ok(())
}

/// Fetches every publication until it answers; how long after `began` each did.
async fn fetch_all(ports: &[u16], began: Instant) -> Result<Vec<Duration>> {
    let mut visits = JoinSet::new();
    for port in ports.iter().copied() {
        visits.spawn(async move {
            while tokio::time::timeout(VISIT_TIMEOUT, origin::visit(port)).await.is_err_or_refused()
            {
                if began.elapsed() > GIVE_UP {
                    return None;
                }
                tokio::time::sleep(VISIT_PAUSE).await;
            }
            Some(began.elapsed())
        });
    }
    let answered: Vec<Option<Duration>> = visits.join_all().await;
    let missing = answered.iter().filter(|time| time.is_none()).count();
    if missing > 0 {
        return Err(format!("{missing} of {} publications never answered", ports.len()).into());
    }
    Ok(answered.into_iter().flatten().collect())
}

trait Refused {
    fn is_err_or_refused(&self) -> bool;
}

impl<T, E, F> Refused for std::result::Result<std::result::Result<T, E>, F> {
    fn is_err_or_refused(&self) -> bool {
        !matches!(self, Ok(Ok(_)))
    }
}

async fn idle_share(relay: &Relay) -> Result<f64> {
    let before = relay.process().cpu()?;
    tokio::time::sleep(IDLE_WATCH).await;
    let used = relay.process().cpu()?.saturating_sub(before);
    Ok(used.as_secs_f64() / IDLE_WATCH.as_secs_f64())
}

const AT_ONCE: usize = 64;
const VISIT_TIMEOUT: Duration = Duration::from_secs(3);
const VISIT_PAUSE: Duration = Duration::from_millis(100);
const GIVE_UP: Duration = Duration::from_secs(60);
const IDLE_WATCH: Duration = Duration::from_secs(20);
