//! Certificates for what this relay publishes: the issuer, and who tells it which names are wanted.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bore_api::model::{Protocol, Publication};
use bore_api::state::CertificateStatus;
use bore_control::Directory;
use bore_control::event::{Event, Subject};
use bore_control::sealing::Sealer;
use bore_control::store::Store;
use bore_edge::now_micros;
use bore_edge::tls::{Certificates, Challenges};
use prometheus_client::registry::Registry;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use uuid::Uuid;

use crate::acme::{
    AcmeMetrics, AcmeSettings, CaRoots, Context, Issuer, Name, Pace, Wanted, WantedNames, Wire,
};
use crate::config::Config;
use crate::dns::TxtRecords;
use crate::server::start_error::StartError;

/// What certificates are made from.
pub(crate) struct IssuerConfig<'a> {
    pub(crate) config: &'a Config,
    pub(crate) store: Arc<Store>,
    pub(crate) sealer: Arc<Sealer>,
    /// This relay, by a name that it keeps over restarts.
    pub(crate) holder: String,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) challenges: Arc<Challenges>,
    /// What puts TXT records into the zone of the relay's domain.
    pub(crate) txt: Option<Arc<dyn TxtRecords>>,
}

/// An issuer that serves what the store has.
pub(crate) async fn issuer(
    ingredients: IssuerConfig<'_>,
    registry: &mut Registry,
) -> Result<Arc<Issuer>, StartError> {
    let IssuerConfig { config, store, sealer, holder, certificates, challenges, txt } = ingredients;
    let pace = Pace::default();
    let roots = CaRoots::load(config.acme.ca_file.as_deref()).map_err(StartError::CaRoots)?;
    let settings = AcmeSettings {
        directory: config.acme.directory.clone(),
        contact: config.acme.contact.clone(),
        eab: config.acme.eab.clone(),
        challenge: config.acme.challenge,
        zone: config.domain.clone(),
        wire: Arc::new(Wire::new(roots, pace.answer_max)),
        holder,
        pace,
        clock: Arc::new(now_micros),
    };
    let metrics = AcmeMetrics::register(registry);
    let context = Context::new(store, sealer, settings, certificates, challenges, txt, metrics);
    Issuer::load(context).await.map_err(StartError::Store)
}

/// What is configured of names. With `takes_txt` the zone of the domain takes TXT records, which help only where DNS-01 may be used.
pub(crate) fn names(config: &Config, takes_txt: bool) -> WantedNames {
    WantedNames {
        host: config.host.clone(),
        domain: config.domain.clone(),
        has_dns: takes_txt && config.acme.challenge.admits_dns(),
        public_only: config.acme.is_public(),
    }
}

/// Who knows which certificates are wanted.
#[derive(Debug)]
pub(crate) struct CertificateDemand {
    pub(crate) names: WantedNames,
    pub(crate) directory: Directory,
    pub(crate) certificates: Arc<Certificates>,
}

/// Keeps a certificate for every name that is wanted, until `closing`.
pub(crate) async fn keep(
    issuer: Arc<Issuer>,
    wishes: CertificateDemand,
    mut closing: watch::Receiver<bool>,
) {
    let mut changes = wishes.directory.subscribe();
    let mut served = wishes.certificates.changes();
    let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
    let (sender, wanted) = watch::channel(wishes.now(&issuer));
    let telling = async {
        loop {
            tokio::select! {
                change = changes.recv() => if !may_change_names(&change) { continue },
                // The table lives as long as the relay.
                _ = served.changed() => {}
                // A certificate from a file that expires is told by nobody.
                _ = expiry.tick() => {}
            }
            // What comes in a burst is told at once.
            tokio::time::sleep(BURST).await;
            let now_wanted = wishes.now(&issuer);
            sender.send_if_modified(|known| {
                let is_new = *known != now_wanted;
                *known = now_wanted;
                is_new
            });
        }
    };
    let showing = show_agents(&issuer, &wishes.directory);
    tokio::select! {
        () = Arc::clone(&issuer).run(wanted) => {}
        () = telling => {}
        () = showing => {}
        // A relay that is gone is closed. An order that is broken off is gone on with after the next start.
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

/// Tells agents whose publications lack a certificate when there is news of it.
async fn show_agents(issuer: &Issuer, directory: &Directory) {
    let mut changes = issuer.changes();
    let mut shown = Vec::new();
    // The issuer lives as long as the relay.
    while changes.changed().await.is_ok() {
        tokio::time::sleep(BURST).await;
        changes.mark_unchanged();
        let mut states = issuer.states();
        states.retain(|state| state.status != CertificateStatus::Valid);
        if states == shown {
            continue;
        }
        shown = states;
        let lacking = |(name, _): &(String, Uuid)| issuer.state_of(name).is_some();
        let names = web_names(directory, |publication| publication.node);
        let nodes: HashSet<Uuid> = names.filter(lacking).map(|(_, node)| node).collect();
        nodes.into_iter().for_each(|node| directory.notify_node(node));
    }
}

impl CertificateDemand {
    fn now(&self, issuer: &Issuer) -> Vec<Wanted> {
        let (mut wanted, more) = self.names.of(published(&self.directory));
        issuer.note_refused(&more);
        let states = issuer.states();
        let issued = states.iter().filter(|state| state.not_after.is_some());
        let own: HashSet<&str> =
            issued.flat_map(|state| &state.names).map(String::as_str).collect();
        wanted.retain(|one| !one.names().all(|name| self.is_in_a_file(name, &own)));
        wanted
    }

    /// Whether the operator has a certificate for it: one is served that has not expired, and it is not the issuer's.
    fn is_in_a_file(&self, name: &Name, own: &HashSet<&str>) -> bool {
        let text = name.to_string();
        let parent = text.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let is_own = own.contains(text.as_str())
            || parent.is_some_and(|wildcard| own.contains(wildcard.as_str()));
        self.certificates.has_current(&text) && !is_own
    }
}

/// Hostnames that should have a certificate, with their networks.
fn published(directory: &Directory) -> impl Iterator<Item = (String, Uuid)> {
    web_names(directory, |publication| publication.network)
}

/// The same with something else of their publications.
fn web_names(
    directory: &Directory,
    of: fn(&Publication) -> Uuid,
) -> impl Iterator<Item = (String, Uuid)> {
    let publications = directory.publications().into_iter();
    let http = publications.filter(|publication| publication.protocol == Protocol::Http);
    http.flat_map(move |publication| {
        let id = of(&publication);
        publication.hostnames.into_iter().map(move |host| (host.to_string(), id))
    })
}

/// A reader that fell behind looks at everything.
fn may_change_names(change: &Result<Arc<Event>, RecvError>) -> bool {
    let Ok(event) = change else { return true };
    matches!(&event.subject, Subject::Node(_) | Subject::Publication(_) | Subject::Network(_))
}

const BURST: Duration = Duration::from_millis(100);
/// How soon an expired certificate from a file is replaced by an order.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::acme::ChallengeChoice;

    #[test]
    fn a_zone_helps_only_where_dns_01_may_be_used() {
        let mut config = Config::for_host("relay.example.org");
        config.domain = Some("t.example.org".to_owned());
        let subjects = |choice, takes_txt| {
            let mut config = config.clone();
            config.acme.challenge = choice;
            let published = [("app.t.example.org".to_owned(), Uuid::nil())];
            let (wanted, _) = names(&config, takes_txt).of(published);
            wanted.iter().map(Wanted::subject).collect::<BTreeSet<_>>()
        };
        let wildcard = BTreeSet::from(["*.t.example.org", "relay.example.org"].map(str::to_owned));
        let exact = BTreeSet::from(["app.t.example.org", "relay.example.org"].map(str::to_owned));
        for choice in [ChallengeChoice::Auto, ChallengeChoice::Dns01] {
            assert_eq!(subjects(choice, true), wildcard, "{choice:?}");
        }
        for choice in [ChallengeChoice::Http01, ChallengeChoice::TlsAlpn01] {
            assert_eq!(subjects(choice, true), exact, "{choice:?}");
        }
        assert_eq!(subjects(ChallengeChoice::Auto, false), exact);
    }
}
