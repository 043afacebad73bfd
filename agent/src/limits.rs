//! Every bound of the agent by name, and the counters that say when one was hit.
//!
//! A permit is held by the task that uses the thing it counts, so nothing leaks when a task ends early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bore_api::limits::WATCH_HEARTBEAT;
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Publications declared on one agent.
pub(crate) const PUBLICATIONS_MAX: usize = 256;
/// Publications of this node that are read from the relay, whoever declared them.
pub(crate) const STORED_MAX: usize = 10_000;
/// Pages that they are read in.
pub(crate) const STORED_PAGES_MAX: usize = 200;
/// One text of the relay's, in characters.
pub(crate) const TEXT_CHARACTERS_MAX: usize = 1_000;
/// Steps of one state.
pub(crate) const STEPS_MAX: usize = 16;
/// Sentences about who may visit.
pub(crate) const ACCESS_NOTES_MAX: usize = 128;
/// Open TCP flows of all publications together.
pub(crate) const FLOWS_MAX: usize = 16_384;
/// Those of one publication: a crowd at one leaves room for the visitors of another.
pub(crate) const FLOWS_PER_PUBLICATION_MAX: usize = FLOWS_MAX / 2;
/// Dials of one publication that its target has not answered yet.
pub(crate) const DIALS_MAX: usize = 256;
/// Visitors of one publication that wait for their dial to begin, and how long: a burst of them passes, and a service that hangs keeps few.
pub(crate) const DIALS_WAITING_MAX: usize = 768;
/// See [`DIALS_WAITING_MAX`].
pub(crate) const DIAL_WAIT: Duration = Duration::from_secs(1);
/// Visitors of one [`crate::Listener`] that its program has not accepted yet.
pub(crate) const STREAMS_WAITING_MAX: usize = 256;
/// UDP flows (visitor and port) of all publications together; each holds a kernel socket.
pub(crate) const UDP_FLOWS_MAX: usize = 2048;
/// UDP flows of one publication. A visitor beyond them takes the place of one that was heard only once, or of the one that is quiet for longest:
/// sources may be forged, and a flood of them takes no other publication's share.
pub(crate) const UDP_FLOWS_PER_PUBLICATION_MAX: usize = UDP_FLOWS_MAX / 2;
/// Datagrams that wait for a UDP flow's socket.
pub(crate) const UDP_WAITING_MAX: usize = 8;
/// Bytes of all datagrams that wait for their flow's socket.
pub(crate) const UDP_WAITING_BYTES_MAX: usize = 16 << 20;
/// Descriptors that visitors leave to the agent itself, or half of them where the process may have few.
pub(crate) const OWN_DESCRIPTORS: usize = 128;
/// Connections of the relay to the probe port.
pub(crate) const PROBE_CONNECTIONS_MAX: usize = 16;
/// Visits from outside whose token is still expected.
pub(crate) const VISITS_MAX: usize = PUBLICATIONS_MAX;
/// Body of an answer of the relay's control, or of an agent's, in bytes. As many publications as there may be have longer lists of visitors than one has.
pub(crate) const CONTROL_BODY_BYTES_MAX: usize = 32 << 20;
/// One line of the watch stream, in bytes: all publications.
pub(crate) const WATCH_LINE_BYTES_MAX: usize = CONTROL_BODY_BYTES_MAX;
/// Body of a request to the local API, in bytes.
pub(crate) const LOCAL_BODY_BYTES_MAX: usize = 64 << 10;
/// State changes that a slow listener may lag behind before it loses the oldest.
pub(crate) const CHANGES_MAX: usize = 256;
/// Addresses of a relay that are tried in one round.
pub(crate) const RELAY_ADDRESSES_MAX: usize = 16;
/// Size of a state file, in bytes: more than [`PUBLICATIONS_MAX`] declarations of [`LOCAL_BODY_BYTES_MAX`] take, with the answers to them. A larger one is
/// not written, because it could not be read again.
pub(crate) const STATE_FILE_BYTES_MAX: u64 = 128 << 20;

/// How long a local target may take to accept.
pub(crate) const TARGET_DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a target's name that are tried.
pub(crate) const TARGET_ADDRESSES_MAX: usize = 16;
/// How long a connection to a target is quiet until the kernel asks whether the other machine is there.
pub(crate) const TARGET_KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
/// The time between two questions that are not answered.
pub(crate) const TARGET_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// So many unanswered questions end the connection.
pub(crate) const TARGET_KEEP_ALIVE_RETRIES_MAX: u32 = 3;
/// How long a web service may take to answer a health check, once it has taken the connection.
pub(crate) const HEALTH_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an address of a name is waited for before a visitor that asks again is led to the next one.
pub(crate) const UDP_ANSWER_WAIT: Duration = Duration::from_secs(1);
/// How long a UDP flow goes unanswered until its target's name is resolved again; twice as long each time.
pub(crate) const UDP_RESOLVE_AGAIN: Duration = Duration::from_secs(3);
/// The longest that it becomes.
pub(crate) const UDP_RESOLVE_AGAIN_MAX: Duration = Duration::from_secs(48);
/// How long a request to the relay's control may take.
pub(crate) const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the relay may be silent on the watch stream: two heartbeats and some more.
pub(crate) const HEARTBEAT_MISSING: Duration =
    Duration::from_secs(2 * WATCH_HEARTBEAT.as_secs() + 5);
/// How long one round of reaching the relay may take.
pub(crate) const ROUND_TIMEOUT: Duration = Duration::from_secs(10);
/// Keepalive of the tunnel, in seconds.
pub(crate) const KEEPALIVE_SECONDS: u16 = 25;
/// How long a declaration waits for a session with the relay.
pub(crate) const DECLARE_WAIT: Duration = Duration::from_secs(20);
/// How long an agent of another process may take to say how things are.
pub(crate) const LOCAL_LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to change something: it may wait for its relay, twice.
pub(crate) const LOCAL_CHANGE_TIMEOUT: Duration = Duration::from_secs(90);
/// How long [`super::Agent::stop`] may take to withdraw session publications.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// A session publication of another process that is not held by then is taken back.
pub(crate) const HOLD_GRACE: Duration = Duration::from_secs(10);

/// What happened that a person may want to know the number of.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) flows_opened: Counter,
    pub(crate) flows_refused_by_limit: Counter,
    pub(crate) flows_refused_by_share: Counter,
    pub(crate) streams_refused_by_limit: Counter,
    pub(crate) dials_failed: Counter,
    pub(crate) udp_flows_opened: Counter,
    pub(crate) udp_flows_refused_by_limit: Counter,
    pub(crate) udp_flows_evicted: Counter,
    pub(crate) udp_datagrams_dropped: Counter,
    pub(crate) udp_datagrams_too_large: Counter,
    pub(crate) probes_answered: Counter,
    pub(crate) probes_refused: Counter,
    pub(crate) undeclared_ignored: Counter,
    pub(crate) orders_refused: Counter,
    pub(crate) local_requests_refused: Counter,
    pub(crate) reconnections: Counter,
}

/// [`Counters`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CounterValues {
    /// Visitors' TCP connections that reached a target.
    pub flows_opened: u64,
    /// Visitors reset because [`FLOWS_MAX`], [`DIALS_MAX`] or [`DIALS_WAITING_MAX`] was reached.
    pub flows_refused_by_limit: u64,
    /// Visitors reset because [`FLOWS_PER_PUBLICATION_MAX`] of their publication's were open.
    pub flows_refused_by_share: u64,
    /// Visitors reset because [`STREAMS_WAITING_MAX`] others waited for the program that listens to accept them.
    pub streams_refused_by_limit: u64,
    /// Visitors, TCP and UDP, refused because the limit of open files leaves no descriptor for them.
    pub flows_refused_by_descriptors: u64,
    /// Dials to a target that failed.
    pub dials_failed: u64,
    /// UDP flows opened.
    pub udp_flows_opened: u64,
    /// UDP visitors refused because [`UDP_FLOWS_MAX`] was reached.
    pub udp_flows_refused_by_limit: u64,
    /// UDP flows ended because [`UDP_FLOWS_PER_PUBLICATION_MAX`] or [`UDP_FLOWS_MAX`] was reached and a newer visitor came.
    pub udp_flows_evicted: u64,
    /// Datagrams dropped: queue full, or the socket would block.
    pub udp_datagrams_dropped: u64,
    /// Visitors' datagrams that the target's network cannot carry (EMSGSIZE).
    pub udp_datagrams_too_large: u64,
    /// Checks and echoes answered to the relay.
    pub probes_answered: u64,
    /// Lines on the probe port that asked for something unknown.
    pub probes_refused: u64,
    /// Publications that the relay named and this agent did not declare.
    pub undeclared_ignored: u64,
    /// Visits and answers of the relay that were not of what was declared here, and not followed.
    pub orders_refused: u64,
    /// Requests to the local API refused for their user, origin or host.
    pub local_requests_refused: u64,
    /// Sessions opened after the first.
    pub reconnections: u64,
}

impl Counters {
    /// All values.
    pub(crate) fn values(&self, room: &Room) -> CounterValues {
        CounterValues {
            flows_refused_by_descriptors: room.refused_without_descriptor(),
            flows_opened: self.flows_opened.value(),
            flows_refused_by_limit: self.flows_refused_by_limit.value(),
            flows_refused_by_share: self.flows_refused_by_share.value(),
            streams_refused_by_limit: self.streams_refused_by_limit.value(),
            dials_failed: self.dials_failed.value(),
            udp_flows_opened: self.udp_flows_opened.value(),
            udp_flows_refused_by_limit: self.udp_flows_refused_by_limit.value(),
            udp_flows_evicted: self.udp_flows_evicted.value(),
            udp_datagrams_dropped: self.udp_datagrams_dropped.value(),
            udp_datagrams_too_large: self.udp_datagrams_too_large.value(),
            probes_answered: self.probes_answered.value(),
            probes_refused: self.probes_refused.value(),
            undeclared_ignored: self.undeclared_ignored.value(),
            orders_refused: self.orders_refused.value(),
            local_requests_refused: self.local_requests_refused.value(),
            reconnections: self.reconnections.value(),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Room for things that visitors cause.
#[derive(Debug)]
pub(crate) struct Room {
    descriptors: Arc<Semaphore>,
    /// Visitors who found no descriptor left.
    without_descriptor: Counter,
    flows: Arc<Semaphore>,
    udp_flows: Arc<Semaphore>,
    udp_waiting_bytes: Arc<Semaphore>,
    probes: Arc<Semaphore>,
}

/// Room for the visitors of one publication.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    flows: Arc<Semaphore>,
    pub(crate) dials: Dials,
}

impl Default for Share {
    fn default() -> Self {
        let flows = Arc::new(Semaphore::new(FLOWS_PER_PUBLICATION_MAX));
        Self { flows, dials: Dials::default() }
    }
}

impl Share {
    /// One more TCP flow, or `None` when it has as many as it may.
    pub(crate) fn flow(&self) -> Option<OwnedSemaphorePermit> {
        take(&self.flows)
    }
}

/// Room for the dials of one publication: a service that hangs costs its own visitors, and no neighbour's.
#[derive(Debug, Clone)]
pub(crate) struct Dials {
    begun: Arc<Semaphore>,
    /// Those that wait too.
    all: Arc<Semaphore>,
}

/// A dial that has begun.
#[derive(Debug)]
pub(crate) struct DialPermit {
    _begun: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Default for Dials {
    fn default() -> Self {
        let begun = Arc::new(Semaphore::new(DIALS_MAX));
        Self { begun, all: Arc::new(Semaphore::new(DIALS_MAX + DIALS_WAITING_MAX)) }
    }
}

impl Dials {
    /// One more dial, or `None` when too many were not answered for [`DIAL_WAIT`], or too many wait.
    pub(crate) async fn begin(&self) -> Option<DialPermit> {
        let place = take(&self.all)?;
        let begun = timeout(DIAL_WAIT, Arc::clone(&self.begun).acquire_owned()).await;
        Some(DialPermit { _begun: begun.ok()?.ok()?, _place: place })
    }
}

/// A visitor's place in a table, and its descriptor.
#[derive(Debug)]
pub(crate) struct FlowPermit {
    _table: OwnedSemaphorePermit,
    _descriptor: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self::within(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }
}

impl Room {
    /// Room for visitors in a process that may have `descriptors` open files: the last ones are the agent's own, for control, health checks and state.
    fn within(descriptors: usize) -> Self {
        let own = OWN_DESCRIPTORS.min(descriptors / 2);
        let for_visitors = (descriptors - own).min(Semaphore::MAX_PERMITS);
        Self {
            descriptors: Arc::new(Semaphore::new(for_visitors)),
            without_descriptor: Counter::default(),
            flows: Arc::new(Semaphore::new(FLOWS_MAX)),
            udp_flows: Arc::new(Semaphore::new(UDP_FLOWS_MAX)),
            udp_waiting_bytes: Arc::new(Semaphore::new(UDP_WAITING_BYTES_MAX)),
            probes: Arc::new(Semaphore::new(PROBE_CONNECTIONS_MAX)),
        }
    }

    /// One more TCP flow, or `None` when the table is full or no descriptor is left.
    pub(crate) fn flow(&self) -> Option<FlowPermit> {
        self.permit(&self.flows)
    }

    /// One more TCP flow that ends in this process, and so takes no descriptor.
    pub(crate) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        take(&self.flows)
    }

    /// One more UDP flow.
    pub(crate) fn udp_flow(&self) -> Option<FlowPermit> {
        self.permit(&self.udp_flows)
    }

    fn permit(&self, table: &Arc<Semaphore>) -> Option<FlowPermit> {
        let table = take(table)?;
        let Some(descriptor) = take(&self.descriptors) else {
            let first = self.without_descriptor.value() == 0;
            self.without_descriptor.add_one();
            if first {
                tracing::warn!(
                    "visitors are refused: the limit of open files (ulimit -n) is reached"
                );
            }
            return None;
        };
        Some(FlowPermit { _table: table, _descriptor: descriptor })
    }

    /// Visitors who were refused because no descriptor was left for them.
    pub(crate) fn refused_without_descriptor(&self) -> u64 {
        self.without_descriptor.value()
    }

    /// Memory for a datagram that waits.
    pub(crate) fn udp_waiting(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.udp_waiting_bytes).try_acquire_many_owned(bytes).ok()
    }

    /// One more connection of the relay to the probe port.
    pub(crate) fn probe(&self) -> Option<OwnedSemaphorePermit> {
        take(&self.probes)
    }
}

fn take(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).try_acquire_owned().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_waits_for_its_turn_and_no_neighbour_for_a_service_that_hangs() {
        let (hanging, neighbour) = (Dials::default(), Dials::default());
        let mut held = Vec::new();
        for _ in 0..DIALS_MAX {
            held.push(hanging.begin().await.unwrap());
        }
        assert!(hanging.begin().await.is_none(), "no dial was answered in time");
        assert!(neighbour.begin().await.is_some(), "and none of another publication waits");

        let leaving = async {
            tokio::task::yield_now().await;
            drop(held.pop());
        };
        assert!(tokio::join!(hanging.begin(), leaving).0.is_some(), "one was answered");
        let waiting = (0..=DIALS_WAITING_MAX).map(|_| hanging.begin());
        let begun = futures_util::future::join_all(waiting).await;
        assert_eq!(begun.iter().flatten().count(), 1, "the place that was left");
    }

    #[test]
    fn a_crowd_at_one_publication_leaves_room_for_another() {
        let (room, [crowd, neighbour]) =
            (Room::within(1 << 20), [(); 2].map(|()| Share::default()));
        let visit =
            |share: &Share| share.flow().and_then(|of_share| Some((of_share, room.stream()?)));
        let held: Vec<_> = std::iter::from_fn(|| visit(&crowd)).collect();
        assert_eq!(held.len(), FLOWS_PER_PUBLICATION_MAX);
        assert!(visit(&neighbour).is_some());
        drop(held);
        assert!(visit(&crowd).is_some());
    }

    #[test]
    fn the_last_descriptors_are_the_agents_own() {
        let room = Room::within(64);
        let held: Vec<_> = std::iter::from_fn(|| room.udp_flow()).collect();
        assert_eq!((held.len(), room.refused_without_descriptor()), (32, 1));
        assert!(room.flow().is_none(), "TCP and UDP share them");

        drop(held);
        assert!(room.flow().is_some());
        let plenty = Room::within(1 << 20);
        assert_eq!(
            std::iter::from_fn(|| plenty.udp_flow()).take(UDP_FLOWS_MAX).count(),
            UDP_FLOWS_MAX
        );
    }
}
