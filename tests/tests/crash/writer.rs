//! Somebody who changes things over the API, one change at a time, until the connection is cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::api::Api;
use crate::ledger::{Change, Kind, Ledger, Named, Observed};

/// One writer with an API key, and what it was told so far.
pub(crate) struct Writer {
    number: usize,
    key: String,
    pub(crate) ledger: Ledger,
    random: SmallRng,
    made: u64,
}

impl Writer {
    pub(crate) fn new(number: usize, key: String, seed: u64) -> Self {
        let ledger = Ledger::new(format!("w{number}-"));
        Self { number, key, ledger, random: SmallRng::seed_from_u64(seed), made: 0 }
    }

    /// Makes change after change; each acknowledged one counts.
    pub(crate) fn write_until_cut_off(
        &mut self,
        api: SocketAddr,
        network: &str,
        acknowledged: &AtomicU64,
    ) {
        let Some(mut api) = Api::connect(api, &self.key) else { return };
        loop {
            let (change, method, path, body) = self.choose();
            let kind = change.named.0;
            self.ledger.begin(change);
            let Some(answer) = api.call(method, &format!("{network}/{path}"), &body) else {
                return;
            };
            assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
            self.ledger.acknowledge();
            self.learn(kind, &answer.body);
            acknowledged.fetch_add(1, Ordering::Release);
        }
    }

    /// A change, and the request for it.
    fn choose(&mut self) -> (Change, &'static str, String, Value) {
        let kind = *Kind::ALL.choose(&mut self.random).expect("kinds");
        let open: Vec<Named> = self
            .ledger
            .states
            .iter()
            .filter(|((of, _), state)| *of == kind && *state != "revoked")
            .map(|(named, _)| named.clone())
            .collect();
        match open.choose(&mut self.random) {
            Some(named) if self.random.random_range(0..OPEN_MAX) < open.len() => {
                self.change(named.clone())
            }
            _ => self.create(kind),
        }
    }

    fn create(&mut self, kind: Kind) -> (Change, &'static str, String, Value) {
        self.made += 1;
        let name = format!("w{}-{}", self.number, self.made);
        let named = (kind, name.clone());
        if kind == Kind::Policy {
            return self.put_policy(named, 0);
        }
        let (after, body) = match kind {
            Kind::JoinKey => ("open", json!({"description": name})),
            Kind::ApiKey => ("open", json!({"description": name, "scopes": ["read"]})),
            Kind::Group | Kind::Policy => ("there", json!({"name": name})),
        };
        (Change { named, after: Some(after.to_owned()) }, "POST", kind.path().to_owned(), body)
    }

    /// Revokes, removes or, a policy, replaces.
    fn change(&mut self, named: Named) -> (Change, &'static str, String, Value) {
        let kind = named.0;
        if kind == Kind::Policy && self.random.random() {
            let revision = self.ledger.revisions[&named];
            return self.put_policy(named, revision);
        }
        let after = kind.is_key().then(|| "revoked".to_owned());
        let subject = if kind.is_key() { &self.ledger.ids[&named] } else { &named.1 };
        let path = format!("{}/{subject}", kind.path());
        (Change { named, after }, "DELETE", path, Value::Null)
    }

    fn put_policy(&mut self, named: Named, revision: i64) -> (Change, &'static str, String, Value) {
        let rule = format!("rule-{}", self.random.random_range(0..u32::MAX));
        let document = json!({"visit": [{"name": rule, "effect": "deny", "from": ["192.0.2.0/24"], "to": ["any"]}]});
        let path = format!("policies/{}", named.1);
        let after = Some(Value::from(rule).to_string());
        let body = json!({"document": document, "revision": revision});
        (Change { named, after }, "PUT", path, body)
    }

    /// Keeps the id and the revision that the answer tells.
    fn learn(&mut self, kind: Kind, answer: &Value) {
        let row = answer.get("item").unwrap_or(answer);
        if row["id"].is_string() {
            let mut seen = Observed::default();
            seen.note(kind, row);
            self.ledger.ids.append(&mut seen.ids);
            self.ledger.revisions.append(&mut seen.revisions);
        }
    }
}

/// About how many of one kind a writer has at once.
const OPEN_MAX: usize = 12;
