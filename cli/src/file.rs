//! The three TOML files: `bore.toml` of a project, `config.toml` of the user and of the system.
//!
//! A project's file comes with the project, from its author: it describes publications and sets nothing. Settings are this machine's:
//! they stand in the user's and the system's file. An unknown or misplaced key is an error that says where it belongs, and all mistakes of a
//! file are told at once, each with its line.
//!
//! ```toml
//! # ~/.config/bore/config.toml, /etc/bore/config.toml
//! state = "/srv/bore"                 # folder of this machine's identity
//! api_url = "http://127.0.0.1:7400"   # the relay's API, for key, node, policy …
//! api_key_file = "/etc/bore/api.key"  # sent to the api_url that stands beside it, and nowhere else
//! network = "default"
//! ```
//!
//! ```toml
//! # bore.toml
//! [publish.valheim]
//! udp = "2456-2458"
//! allow = ["10.0.0.0/8", "group:friends"]
//! ```

mod reader;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bore_api::model::{Lifetime, Protocol};
use bore_policy::{Access, Target};
use toml::de::{DeTable, DeValue};

use crate::error::{CliError, CliResult};
use crate::hostname::parse_hostname;
use crate::options::{self, OptionFlags};
use crate::wanted::{check, parse_name, parse_source, parse_target, set_port};
use bore_agent::Declaration;

pub(crate) use self::reader::Reader;

/// Values that flags and `BORE_*` precede.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Folder of the agent's identity.
    pub(crate) state: Option<PathBuf>,
    /// Where the relay's API listens.
    pub(crate) api_url: Option<String>,
    /// File with an API key.
    pub(crate) api_key_file: Option<PathBuf>,
    /// Network that commands speak about.
    pub(crate) network: Option<String>,
}

/// One file, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct File {
    /// The values at the top.
    pub(crate) settings: Settings,
    /// The `[publish.*]` sections, in the order of their names; all persistent.
    pub(crate) publish: Vec<Declaration>,
}

/// What a file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `bore.toml`: publications.
    Project,
    /// `config.toml` of the user or of the system: settings.
    Config,
}

impl File {
    /// Reads `path`; `None` when there is no such file.
    pub(crate) fn load(path: &Path, kind: Kind) -> CliResult<Option<Self>> {
        match read(path) {
            Ok(text) => Self::parse(&text, &path.display().to_string(), kind).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::io(format!("cannot read {}", path.display()), &error)),
        }
    }

    /// Checks `text`; `name` is for messages.
    pub(crate) fn parse(text: &str, name: &str, kind: Kind) -> CliResult<Self> {
        let (root, syntax) = DeTable::parse_recoverable(text);
        let mut reader = Reader::new(name, text);
        for error in &syntax {
            reader.mistake(error.span(), error.message());
        }
        let mut file = Self::default();
        if syntax.is_empty() {
            read_root(&mut reader, root.get_ref(), kind, &mut file);
        }
        reader.finish()?;
        Ok(file)
    }
}

/// Reads a file of sensible size; a pipe or a device, which may never end, is none.
fn read(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let cause = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, cause));
    }
    Ok(text)
}

const FILE_BYTES_MAX: u64 = 1 << 20;
/// Settings, with the flag and the variable that say the same.
const SETTINGS: [(&str, &str); 4] = [
    ("state", "--state or BORE_STATE"),
    ("api_url", "--api-url or BORE_API"),
    ("api_key_file", "--api-key-file or BORE_API_KEY_FILE"),
    ("network", "--network or BORE_NETWORK"),
];
const ROOT: &[&str] = &["state", "api_url", "api_key_file", "network", "publish"];

/// Returns true if the file, or a folder on its way, may not be read by this user, as with the HOME of another one.
pub(crate) fn is_closed(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, PermissionDenied};
    // A pipe in its place is not opened: it may never get a writer.
    let opened = std::fs::metadata(path).and_then(|metadata| match metadata.is_file() {
        true => std::fs::File::open(path).map(drop),
        false => Ok(()),
    });
    opened.is_err_and(|error| matches!(error.kind(), PermissionDenied | NotADirectory))
}

/// Keys of a section, beside those of options.
const PUBLISH: &[&str] = &["http", "tls", "tcp", "udp", "host", "port", "allow", "deny"];

fn read_root(reader: &mut Reader<'_>, root: &DeTable<'_>, kind: Kind, file: &mut File) {
    reader.known_keys(root, "", ROOT);
    match kind {
        Kind::Project => refuse_settings(reader, root),
        Kind::Config => file.settings = read_settings(reader, root),
    }
    let Some((span, publish)) = reader.table(root, "publish") else { return };
    match kind {
        Kind::Project => file.publish = read_sections(reader, publish),
        Kind::Config => {
            reader.mistake(Some(span), "publications belong into a project's bore.toml");
        }
    }
}

/// A project that came from elsewhere must not choose whom this machine's keys are sent to.
fn refuse_settings(reader: &mut Reader<'_>, root: &DeTable<'_>) {
    for (name, others) in SETTINGS {
        let Some((key, _)) = root.get_key_value(name) else { continue };
        let what = format!(
            "`{name}` is a setting of this machine, not of a project: it belongs into ~/.config/bore/config.toml, or say {others}"
        );
        reader.mistake(Some(key.span()), &what);
    }
}

fn read_settings(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Settings {
    Settings {
        state: reader.string(root, "state").map(PathBuf::from),
        api_url: reader.string(root, "api_url"),
        api_key_file: reader.string(root, "api_key_file").map(PathBuf::from),
        network: reader.string(root, "network"),
    }
}

fn read_sections(reader: &mut Reader<'_>, publish: &DeTable<'_>) -> Vec<Declaration> {
    let mut wanted = Vec::new();
    for (key, value) in publish {
        let name = reader.parse(key.span(), key.get_ref(), parse_name);
        let Some(section) = value.get_ref().as_table() else {
            reader.mistake(
                Some(value.span()),
                &format!("[publish.{}] is a section, not a value", key.get_ref()),
            );
            continue;
        };
        wanted.extend(read_section(reader, key.span(), name, section));
    }
    wanted
}

fn read_section(
    reader: &mut Reader<'_>,
    span: std::ops::Range<usize>,
    name: Option<String>,
    section: &DeTable<'_>,
) -> Option<Declaration> {
    reader.known_keys(section, "publish.NAME", &[PUBLISH, &options::KEYS].concat());
    let port = reader.number(section, "port", "a number from 0 (any free port) to 65535");
    let hostnames = reader.parsed_one_or_many(section, "host", parse_hostname);
    let allow = reader.parsed_list(section, "allow", parse_source);
    let deny = reader.parsed_list(section, "deny", parse_source);
    let options = OptionFlags::read(reader, section);
    let (protocol, target) = read_target(reader, span.clone(), section)?;
    let mut declaration = Declaration {
        name: Some(name?),
        hostnames,
        access: Access { allow, deny },
        lifetime: Lifetime::Persistent,
        ..Declaration::new(protocol, target.to_string())
    };
    options.apply(&mut declaration, &target);
    set_port(&mut declaration, port);
    if let Err(mistake) = check(&declaration, &target) {
        reader.mistake(Some(span), mistake);
        return None;
    }
    Some(declaration)
}

fn read_target(
    reader: &mut Reader<'_>,
    span: std::ops::Range<usize>,
    section: &DeTable<'_>,
) -> Option<(Protocol, Target)> {
    let kinds = [
        ("http", Protocol::Http),
        ("tls", Protocol::Tls),
        ("tcp", Protocol::Tcp),
        ("udp", Protocol::Udp),
    ];
    let given: Vec<_> = kinds
        .into_iter()
        .filter_map(|(key, protocol)| Some((protocol, section.get(key)?)))
        .collect();
    let [(protocol, value)] = given.as_slice() else {
        reader.mistake(Some(span), "a publication has exactly one of http, tls, tcp and udp");
        return None;
    };
    let text = target_text(value.get_ref());
    let Some(text) = text else {
        reader.mistake(
            Some(value.span()),
            "a target is a port (3000) or a string (\"HOST:PORT\", \"2456-2458\", \"unix:/path\")",
        );
        return None;
    };
    let target = reader.parse(value.span(), &text, parse_target)?;
    Some((*protocol, target))
}

/// A target may be written as a number.
fn target_text(value: &DeValue<'_>) -> Option<String> {
    let number = || value.as_integer().map(ToString::to_string);
    value.as_str().map(str::to_owned).or_else(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_file_describes_publications() {
        let file = project(
            "[publish.shop]\nhttp = 3000\nhost = \"shop\"\n\
             [publish.valheim]\nudp = \"2456-2458\"\nport = 0\nallow = [\"10.0.0.0/8\", \"group:friends\"]\n",
        )
        .unwrap();
        assert_eq!(file.settings, Settings::default());
        let [shop, valheim] = file.publish.as_slice() else { panic!("two publications") };
        assert_eq!(
            (shop.protocol, shop.hostnames.as_slice()),
            (Protocol::Http, ["shop".to_owned()].as_slice())
        );
        assert_eq!((valheim.protocol, valheim.any_port), (Protocol::Udp, true));
        assert_eq!(valheim.access.allow.len(), 2);
        assert_eq!(
            (shop.target.as_str(), valheim.target.as_str()),
            ("localhost:3000", "localhost:2456-2458")
        );
    }

    #[test]
    fn a_tls_service_may_have_several_hostnames() {
        let text =
            "[publish.shop]\ntls = 443\nhost = [\"Shop.example.com\", \"*.shop.example.com\"]\n";
        let file = project(text).unwrap();
        let [shop] = file.publish.as_slice() else { panic!("one publication") };
        assert_eq!(shop.protocol, Protocol::Tls);
        assert_eq!(shop.hostnames, ["shop.example.com", "*.shop.example.com"]);
        let error = project("[publish.a]\nhttp = 80\nhost = [\"a_b\", 3]\n").unwrap_err();
        let cause = error.reason().unwrap();
        assert!(
            cause.contains("a_b") && cause.contains("a string or a list of strings"),
            "{cause}"
        );
    }

    #[test]
    fn a_web_service_may_be_called_by_another_name_and_by_old_visitors() {
        let text = "[publish.shop]\nhttp = 3000\nhost_header = \"rewrite\"\ntls_min = \"1.2\"\n";
        let file = project(text).unwrap();
        let [shop] = file.publish.as_slice() else { panic!("one publication") };
        let host = shop.options.web.host_header.as_ref().unwrap();
        assert_eq!(
            (host.as_str(), shop.options.web.tls_min),
            ("localhost:3000", "1.2".parse().ok())
        );
        let bad = "[publish.a]\nhttp = 80\nhost_header = \"a b\"\ntls_min = 1.2\n";
        let error = project(bad).unwrap_err();
        let cause = error.reason().unwrap();
        assert!(cause.contains("line 3:") && cause.contains("`tls_min` is a string"), "{cause}");
    }

    #[test]
    fn an_unknown_key_is_an_error_with_line_and_suggestion() {
        let error = project("[publish.shop]\nhttp = 3000\nalow = []\n").unwrap_err();
        assert_eq!(error.code(), "B1003");
        let cause = error.reason().unwrap();
        assert!(
            cause.contains("line 3: unknown key `alow`") && cause.contains("`allow`"),
            "{cause}"
        );
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = "netwrk = \"x\"\n[publish.Shop]\nhttp = 3000\n[publish.a]\ntcp = 22\nudp = 53\n\
                    [publish.b]\ntcp = 22\nport = 70000\nallow = [\"10.0.0.1/8\"]\n";
        let error = project(text).unwrap_err();
        let lines: Vec<_> = error.reason().unwrap().lines().collect();
        let at = |line: &str| lines.iter().any(|text| text.contains(line));
        assert!(
            ["line 1:", "line 2:", "line 4:", "line 9:", "line 10:"].into_iter().all(at),
            "{lines:#?}"
        );
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        let error = project("[publish.a]\ntcp = true\nport = \"22\"\n").unwrap_err();
        let cause = error.reason().unwrap();
        assert!(cause.contains("a target is a port"), "{cause}");
        assert!(cause.contains("`port` is a number"), "{cause}");
    }

    #[test]
    fn syntax_errors_have_a_line_too() {
        let error = project("network = \n").unwrap_err();
        assert!(error.reason().unwrap().contains("line 1"), "{error:?}");
    }

    #[test]
    fn publications_belong_into_the_project_file_only() {
        let text = "[publish.shop]\nhttp = 3000\n";
        assert!(File::parse(text, "config.toml", Kind::Config).is_err());
    }

    #[test]
    fn a_project_file_sets_nothing_of_this_machine() {
        let text = "api_url = \"http://127.0.0.1:9\"\napi_key_file = \"/etc/shadow\"\nstate = \"/x\"\n\
                    network = \"home\"\n[publish.shop]\nhttp = 3000\n";
        let error = project(text).unwrap_err();
        let cause = error.reason().unwrap();
        for (line, key, instead) in [
            (1, "api_url", "BORE_API"),
            (2, "api_key_file", "--api-key-file"),
            (3, "state", "--state"),
            (4, "network", "BORE_NETWORK"),
        ] {
            let told = cause.lines().find(|told| told.contains(&format!("line {line}: `{key}`")));
            let told = told.unwrap_or_else(|| panic!("{key}: {cause}"));
            assert!(told.contains("config.toml") && told.contains(instead), "{told}");
        }
        let settings = text.split_once('[').unwrap().0;
        let file = File::parse(settings, "config.toml", Kind::Config).unwrap();
        assert_eq!(file.settings.network.as_deref(), Some("home"));
        let error = File::parse("network = 3\n", "config.toml", Kind::Config).unwrap_err();
        assert!(error.reason().unwrap().contains("`network` is a string"), "{error:?}");
    }

    #[test]
    fn what_is_no_file_or_has_no_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let endless = folder.path().join("bore.toml");
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        assert!(File::load(&endless, Kind::Project).is_err());
        let large = folder.path().join("large.toml");
        std::fs::write(&large, vec![b'#'; 1 << 21]).unwrap();
        assert!(File::load(&large, Kind::Project).is_err());
    }

    #[test]
    fn a_file_that_is_not_there_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(File::load(&folder.path().join("bore.toml"), Kind::Project), Ok(None));
    }

    #[test]
    fn a_file_behind_a_closed_folder_is_told_from_one_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(is_closed(&folder.path().join("file/config.toml")));
        assert!(!is_closed(&folder.path().join("config.toml")));
    }

    fn project(text: &str) -> CliResult<File> {
        File::parse(text, "bore.toml", Kind::Project)
    }
}
