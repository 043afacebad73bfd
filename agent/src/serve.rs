//! Offers inside the overlay what the plan says, and nothing else: one task per publication, and the probe port.
//!
//! Lives on the shard's thread. A publication whose plan changed is stopped, flows and all, before the new one begins, so that its ports
//! are free again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bore_api::model::Protocol;
use bore_driver::Local;
use bore_overlay::PeerId;
use tokio::task::JoinHandle;

use super::shared::{Plan, ServicePlan, Shared};
use super::target_watch::check_target;
use super::{probe, serve_tcp, serve_udp};

/// Follows the plan until the agent stops.
pub(crate) async fn run(local: Local, shared: Arc<Shared>) {
    for address in shared.membership.addresses() {
        local.stack().add_local(address);
    }
    let mut plan = shared.plan();
    let mut stopping = shared.stopping();
    let mut services = Services { local, shared, running: BTreeMap::new(), probe: None };
    loop {
        let wanted = plan.borrow_and_update().clone();
        services.follow(wanted).await;
        tokio::select! {
            changed = plan.changed() => if changed.is_err() { break },
            _ = stopping.wait_for(|stop| *stop) => break,
        }
    }
    services.follow(Plan::default()).await;
}

struct Services {
    local: Local,
    shared: Arc<Shared>,
    running: BTreeMap<String, (ServicePlan, Task)>,
    probe: Option<(PeerId, Task)>,
}

impl Services {
    async fn follow(&mut self, wanted: Plan) {
        let stale: Vec<String> = self
            .running
            .values()
            .filter(|(plan, _)| !wanted.services.contains(plan))
            .map(|(plan, _)| plan.name.clone())
            .collect();
        for name in stale {
            if let Some((_, task)) = self.running.remove(&name) {
                task.end().await;
            }
        }
        self.answer_probes(wanted.relay).await;
        for plan in wanted.services {
            self.begin(plan);
        }
    }

    fn begin(&mut self, plan: ServicePlan) {
        if self.running.contains_key(&plan.name) {
            return;
        }
        let (local, shared) = (self.local.clone(), Arc::clone(&self.shared));
        let task = match plan.protocol {
            Protocol::Tcp | Protocol::Tls | Protocol::Http => {
                Task::begin(serve_tcp::run(local, shared, plan.clone()))
            }
            Protocol::Udp => Task::begin(serve_udp::run(local, shared, plan.clone())),
        };
        tokio::task::spawn_local(report_target(Arc::clone(&self.shared), plan.clone()));
        self.running.insert(plan.name.clone(), (plan, task));
    }

    async fn answer_probes(&mut self, relay: Option<PeerId>) {
        if self.probe.as_ref().map(|(peer, _)| *peer) == relay {
            return;
        }
        if let Some((_, task)) = self.probe.take() {
            task.end().await;
        }
        let (local, shared) = (self.local.clone(), Arc::clone(&self.shared));
        self.probe = relay.map(|peer| (peer, Task::begin(probe::run(local, shared, peer))));
    }
}

/// Tells the relay that a new publication is served, and how its target does. The service was spawned before and opens its ports in its
/// first turn, so whoever hears of this finds them open.
async fn report_target(shared: Arc<Shared>, plan: ServicePlan) {
    // What it found is reported by itself.
    check_target(&shared, &plan.name).await;
}

/// A task of the shard's thread.
struct Task(JoinHandle<()>);

impl Task {
    fn begin(work: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(work))
    }

    /// Ends it; what it held is free when this returns.
    async fn end(self) {
        self.0.abort();
        // An aborted task answers with an error; there is nothing in it.
        let _ = self.0.await;
    }
}

impl ServicePlan {
    /// The overlay ports that belong to it.
    pub(crate) fn overlay_ports(&self) -> RangeInclusive<u16> {
        let last = self.overlay_port.saturating_add(self.port_count.saturating_sub(1));
        self.overlay_port..=last
    }

    /// Which of its ports `port` is, counted from 0.
    pub(crate) fn offset(&self, port: u16) -> Option<u16> {
        self.overlay_ports().contains(&port).then(|| port - self.overlay_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{membership, peer};

    #[test]
    fn ports_outside_a_publication_belong_to_no_target() {
        let plan = ServicePlan {
            name: "game".into(),
            protocol: Protocol::Udp,
            target: "27000-27002".parse().unwrap(),
            overlay_port: 1024,
            port_count: 3,
            addresses: membership().addresses(),
            relay: peer(),
        };
        assert_eq!(plan.overlay_ports(), 1024..=1026);
        assert_eq!((plan.offset(1024), plan.offset(1026)), (Some(0), Some(2)));
        assert_eq!((plan.offset(1023), plan.offset(1027)), (None, None));
    }
}
