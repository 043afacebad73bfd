//! What `bore up` has to do: the difference between a project's file and what is published, and which publications a file owns.
//!
//! A file takes back only what it published itself: the names are kept, by the file's path, in `projects.json` of the state folder.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{CliError, CliResult};
use crate::options;
use bore_agent::Declaration;
use bore_api::Code;
use bore_api::model::Publication;
use bore_api::wire::PublicationView;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Not published yet.
    Add(Declaration),
    /// Published otherwise; the differences in words.
    Update(Declaration, Vec<String>),
    /// Published by this file before, and no longer in it.
    Remove(String),
}

/// What makes `published` into `wanted`; of the others only those in `owned` go.
pub(crate) fn plan(
    wanted: &[Declaration],
    published: &[PublicationView],
    owned: &[String],
) -> Vec<Change> {
    let wanted_name = |name: &str| wanted.iter().any(|each| each.name.as_deref() == Some(name));
    let names = published.iter().map(|view| &view.publication.name);
    let gone = names.filter(|name| owned.contains(name) && !wanted_name(name));
    let removals = gone.map(|name| Change::Remove(name.clone()));
    let changes = wanted.iter().filter_map(|declaration| change(declaration, published));
    removals.chain(changes).collect()
}

fn change(declaration: &Declaration, published: &[PublicationView]) -> Option<Change> {
    let same = |view: &&PublicationView| Some(&view.publication.name) == declaration.name.as_ref();
    let Some(view) = published.iter().find(same) else {
        return Some(Change::Add(declaration.clone()));
    };
    let differences = differences(declaration, &view.publication);
    (!differences.is_empty()).then(|| Change::Update(declaration.clone(), differences))
}

fn differences(wanted: &Declaration, stored: &Publication) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, old: String, new: String| {
        if old != new {
            found.push(format!("{what} {old} → {new}"));
        }
    };
    compare(
        "protocol",
        format!("{:?}", stored.protocol).to_lowercase(),
        format!("{:?}", wanted.protocol).to_lowercase(),
    );
    compare("target", canonical(&stored.target), canonical(&wanted.target));
    if let (Some(old), Some(new)) = (stored.public_port, wanted_port(wanted)) {
        compare("port", old.to_string(), new.to_string());
    }
    let hosts: Vec<String> = stored.hostnames.iter().map(ToString::to_string).collect();
    if !wanted.hostnames.is_empty() && !same_hostnames(&hosts, &wanted.hostnames) {
        compare("host", hosts.join(","), wanted.hostnames.join(","));
    }
    for (option, old, new) in options::differences(&stored.options, &wanted.options) {
        compare(option, old, new);
    }
    compare("allow", listed(&stored.access.allow), listed(&wanted.access.allow));
    compare("deny", listed(&stored.access.deny), listed(&wanted.access.deny));
    found
}

/// A label is the name that it begins below the relay's domain.
fn same_hostnames(stored: &[String], wanted: &[String]) -> bool {
    let same = |old: &String, new: &String| {
        old == new || (!new.contains('.') && old.split('.').next() == Some(new))
    };
    stored.len() == wanted.len() && stored.iter().zip(wanted).all(|(old, new)| same(old, new))
}

/// The public port that must be; `None` when any will do.
fn wanted_port(wanted: &Declaration) -> Option<u16> {
    let of_target = || match wanted.parse_target().ok()? {
        bore_policy::Target::Host { ports, .. } => Some(ports.first()),
        bore_policy::Target::Unix(_) | bore_policy::Target::InProcess => None,
    };
    if wanted.any_port { None } else { wanted.port.or_else(of_target) }
}

/// `3000` and `localhost:3000` are one target.
fn canonical(target: &str) -> String {
    bore_policy::Target::parse(target)
        .map_or_else(|_| target.to_owned(), |target| target.to_string())
}

fn listed<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(",") }
}

impl Change {
    /// One line of a diff.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Add(declaration) => {
                format!("+ {}: {}", name(declaration), canonical(&declaration.target))
            }
            Self::Update(declaration, differences) => {
                format!("~ {}: {}", name(declaration), differences.join(", "))
            }
            Self::Remove(name) => format!("- {name}"),
        }
    }

    /// `add`, `update` or `remove`, and the name, for programs.
    pub(crate) fn fields(&self) -> serde_json::Value {
        let (change, name) = match self {
            Self::Add(declaration) => ("add", name(declaration)),
            Self::Update(declaration, _) => ("update", name(declaration)),
            Self::Remove(name) => ("remove", name.as_str()),
        };
        serde_json::json!({ "change": change, "name": name })
    }
}

fn name(declaration: &Declaration) -> &str {
    declaration.name.as_deref().unwrap_or("-")
}

/// Which names each project's file published.
#[derive(Debug)]
pub(crate) struct Owned {
    path: PathBuf,
    names: BTreeMap<PathBuf, Vec<String>>,
}

impl Owned {
    /// Reads the record of a state folder.
    pub(crate) fn load(state: &Path) -> CliResult<Self> {
        let path = state.join("projects.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => "{}".to_owned(),
            Err(error) => {
                return Err(CliError::io(format!("cannot read {}", path.display()), &error));
            }
        };
        let names = serde_json::from_str(&text).map_err(|error| {
            CliError::new(Code::FILE, format!("{} is damaged", path.display()))
                .cause(error.to_string())
        })?;
        Ok(Self { path, names })
    }

    /// What `file` published.
    pub(crate) fn of(&self, file: &Path) -> &[String] {
        self.names.get(file).map_or(&[], Vec::as_slice)
    }

    /// Notes what `file` publishes; whole or not at all.
    pub(crate) fn set(&mut self, file: &Path, names: Vec<String>) -> CliResult {
        if names.is_empty() {
            self.names.remove(file);
        } else {
            self.names.insert(file.to_owned(), names);
        }
        let failed = |error| CliError::io(format!("cannot write {}", self.path.display()), &error);
        self.write().map_err(failed)
    }

    fn write(&self) -> io::Result<()> {
        let new = self.path.with_extension("json.new");
        // Left by a crash, or planted by who owns the folder: a new file follows no link.
        if let Err(error) = std::fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
        bore_agent::state::give_to_owner_of_folder(&file, &new)?;
        file.write_all(&serde_json::to_vec_pretty(&self.names)?)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use bore_api::model::{Lifetime, Protocol};

    use super::*;
    use crate::test_support::view;

    #[test]
    fn a_new_section_is_added_and_a_deleted_one_removed() {
        let published = [view("old", Protocol::Tcp), view("foreign", Protocol::Tcp)];
        let changes = plan(&[declaration("new")], &published, &["old".into()]);
        let lines: Vec<_> = changes.iter().map(Change::line).collect();
        assert_eq!(lines, ["- old", "+ new: localhost:3000"], "what others published stays");
    }

    #[test]
    fn what_is_as_wanted_is_left_alone() {
        let same = Declaration { port: Some(7777), ..declaration("web") };
        assert_eq!(plan(&[same], &[view("web", Protocol::Tcp)], &["web".into()]), []);
    }

    #[test]
    fn differences_are_named() {
        let other = Declaration { target: "4000".into(), any_port: true, ..declaration("web") };
        let changes = plan(&[other], &[view("web", Protocol::Tcp)], &[]);
        assert_eq!(changes[0].line(), "~ web: target localhost:3000 → localhost:4000");
    }

    #[test]
    fn what_is_particular_to_a_web_service_is_compared() {
        let mut wanted = Declaration { port: Some(7777), ..declaration("web") };
        wanted.options.web.tls_min = "1.2".parse().ok();
        let changes = plan(&[wanted], &[view("web", Protocol::Tcp)], &[]);
        assert_eq!(changes[0].line(), "~ web: tls_min default → 1.2");
    }

    #[test]
    fn a_hostname_given_as_label_is_the_one_below_the_domain() {
        let wanted = Declaration {
            protocol: Protocol::Http,
            hostnames: vec!["shop".into()],
            ..declaration("web")
        };
        let mut stored = view("web", Protocol::Http);
        stored.publication.public_port = None;
        stored.publication.hostnames = vec!["shop.t.example.org".parse().unwrap()];
        assert_eq!(plan(std::slice::from_ref(&wanted), &[stored.clone()], &[]), []);
        stored.publication.hostnames = vec!["shopping.t.example.org".parse().unwrap()];
        assert_eq!(plan(&[wanted], &[stored], &[]).len(), 1);
    }

    #[test]
    fn each_file_keeps_its_own_names() {
        let state = tempfile::tempdir().unwrap();
        let mut owned = Owned::load(state.path()).unwrap();
        owned.set(Path::new("/a/bore.toml"), vec!["web".into()]).unwrap();
        owned.set(Path::new("/b/bore.toml"), vec!["game".into()]).unwrap();
        let again = Owned::load(state.path()).unwrap();
        assert_eq!(again.of(Path::new("/a/bore.toml")), ["web"]);
        assert!(again.of(Path::new("/c/bore.toml")).is_empty());
    }

    fn declaration(name: &str) -> Declaration {
        Declaration {
            name: Some(name.to_owned()),
            lifetime: Lifetime::Persistent,
            ..Declaration::new(Protocol::Tcp, "3000")
        }
    }
}
