//! An issuer with a store of its own, a clock that can be set, and everything that it is asked about at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bore_api::model::{Actor, Micros, Network};
use bore_api::state::CertificateState;
use bore_control::certificate::Certificate;
use bore_control::sealing::{Sealer, SealingKey};
use bore_control::store::Store;
use bore_edge::tls::{Certificates, Challenges};
use bore_relay::acme::{
    AcmeMetrics, AcmeSettings, ChallengeChoice, Context, EabKey, Issuer, Name, Pace, Wanted,
};
use bore_relay::dns::TxtRecords;
use instant_acme::HttpClient;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What a relay keeps over restarts, and what its visitors see.
pub(crate) struct Lab {
    pub(crate) store: Arc<Store>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) settings: AcmeSettings,
    pub(crate) txt: Option<Arc<dyn TxtRecords>>,
    key: [u8; 32],
    offset: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

/// An issuer that runs. Dropping it is a kill: nothing is finished.
pub(crate) struct Running {
    pub(crate) issuer: Arc<Issuer>,
    wanted: watch::Sender<Vec<Wanted>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lab {
    /// A relay that asks the CA at `directory` through `wire`.
    pub(crate) async fn start(directory: &str, wire: Arc<dyn HttpClient>) -> Self {
        Self::with_challenges(directory, wire, Arc::default()).await
    }

    /// The same with what somebody else answers from.
    pub(crate) async fn with_challenges(
        directory: &str,
        wire: Arc<dyn HttpClient>,
        challenges: Arc<Challenges>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = bore_control::store::create(
            "sqlite://bore.db",
            folder.path(),
            bore_control::store::AuditKey::from_cluster_key(&[7; 32]),
        )
        .await
        .unwrap();
        let offset = Arc::new(AtomicI64::new(0));
        let set = Arc::clone(&offset);
        let settings = AcmeSettings {
            directory: directory.to_owned(),
            contact: Some("mailto:ops@example.com".to_owned()),
            eab: None,
            challenge: ChallengeChoice::Auto,
            zone: Some("t.example.org".to_owned()),
            wire,
            holder: "relay-1".to_owned(),
            pace: PACE,
            clock: Arc::new(move || wall() + set.load(Ordering::Relaxed)),
        };
        let certificates = Arc::default();
        let key = [7; 32];
        Self { store, certificates, challenges, settings, txt: None, key, offset, _folder: folder }
    }

    pub(crate) fn eab(&mut self, id: &str, key: &[u8]) {
        self.settings.eab = Some(EabKey::new(id.to_owned(), key.to_vec().into()));
    }

    /// Starts the relay, or starts it again.
    pub(crate) async fn run(&self, wanted: Vec<Wanted>) -> Running {
        let sealer = Arc::new(self.sealer());
        let context = Context::new(
            Arc::clone(&self.store),
            sealer,
            self.settings.clone(),
            Arc::clone(&self.certificates),
            Arc::clone(&self.challenges),
            self.txt.clone(),
            AcmeMetrics::register(&mut Registry::default()),
        );
        let issuer = Issuer::load(context).await.unwrap();
        let (wanted, receiver) = watch::channel(wanted);
        let task = tokio::spawn(Arc::clone(&issuer).run(receiver));
        Running { issuer, wanted, task }
    }

    pub(crate) fn sealer(&self) -> Sealer {
        Sealer::new(SealingKey::from_bytes(self.key.into()))
    }

    /// Sets the relay's clock forward.
    pub(crate) fn advance(&self, running: &Running, by: Duration) {
        self.shift(Micros::try_from(by.as_micros()).unwrap());
        running.nudge();
    }

    /// Sets the relay's clock, forward or back.
    pub(crate) fn shift(&self, by: Micros) {
        self.offset.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Micros {
        (self.settings.clock)()
    }

    /// A network, which names can be of.
    pub(crate) async fn network(&self, name: &str) -> Uuid {
        let network = Network { id: Uuid::now_v7(), name: name.to_owned(), created_at: self.now() };
        self.store.networks().create(&network, &Actor::System).await.unwrap();
        network.id
    }

    pub(crate) async fn certificate(&self, subject: &str) -> Option<Certificate> {
        self.store.certificates().of_subject(subject).await.unwrap()
    }

    /// How often the audit trail tells of `action`.
    pub(crate) async fn audited(&self, action: &str) -> usize {
        let rows = self.store.audit().list(None, None, 0, 1_000).await.unwrap();
        rows.iter().filter(|row| row.action == action).count()
    }
}

impl Running {
    /// Has the issuer look at its clock.
    pub(crate) fn nudge(&self) {
        self.wanted.send_modify(|_| ());
    }

    pub(crate) fn want(&self, wanted: Vec<Wanted>) {
        self.wanted.send_replace(wanted);
    }

    pub(crate) fn state(&self, subject: &str) -> Option<CertificateState> {
        self.issuer.states().into_iter().find(|state| state.names[0] == subject)
    }

    /// The state of a subject, once it is as wanted.
    pub(crate) async fn until(
        &self,
        subject: &str,
        wanted: impl Fn(&CertificateState) -> bool,
    ) -> CertificateState {
        let look = || async { self.state(subject).filter(|state| wanted(state)) };
        let found = tokio::time::timeout(PATIENCE, until_some(subject, look)).await;
        found.unwrap_or_else(|_| panic!("waited in vain: {:?}", self.state(subject)))
    }

    /// The code of the problem that a subject has, once it has one.
    pub(crate) async fn until_problem(&self, subject: &str) -> String {
        let state = self.until(subject, |state| state.problem.is_some()).await;
        state.problem.unwrap().code
    }
}

/// What `look` finds, once it finds something.
pub(crate) async fn until_some<T, F: Future<Output = Option<T>>>(
    what: &str,
    look: impl Fn() -> F,
) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE * 2, looking).await;
    found.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) fn one(name: &str) -> Wanted {
    Wanted::one(Name::parse(name).unwrap(), None)
}

/// What a machine with NTP has.
pub(crate) fn wall() -> Micros {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}

/// Tries follow each other at once.
pub(crate) const PACE: Pace = Pace {
    passing: Duration::from_millis(20),
    passing_max: Duration::from_millis(200),
    refused: Duration::from_millis(20),
    refused_max: Duration::from_millis(200),
    poll: Duration::from_millis(20),
    order_max: Duration::from_secs(20),
    answer_max: Duration::from_secs(5),
};
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
