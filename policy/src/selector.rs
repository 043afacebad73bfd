//! The words of which rules are made: who publishes, who visits, what is visited.
//!
//! | list | entries |
//! |---|---|
//! | `who` | `any`, `group:NAME`, `node:NAME`, `key:ID` |
//! | `from`, `--allow`, `--deny` | `any`, `overlay`, `group:NAME`, an address, a network |
//! | `to` | `any`, `tcp`, `udp`, `tls`, `http`, `group:NAME` (of the publishing node), a publication |

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::label::{Label, LabelError};
use crate::model::Protocol;
use crate::network::{Network, NetworkError};
use crate::text::{quoted, serde_as_text};

/// Who publishes: one entry of `who`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Who {
    /// Everyone.
    Any,
    /// Members of a group.
    Group(Label),
    /// The node of this name.
    Node(Label),
    /// What came with this key.
    Key(Uuid),
}

/// Who visits: one entry of `from`, `--allow` or `--deny`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// Everyone.
    Any,
    /// Every node of the overlay.
    Overlay,
    /// Nodes of the overlay that are in a group.
    Group(Label),
    /// Visitors whose address lies in a network.
    Network(Network),
}

/// What is visited: one entry of `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum To {
    /// Every publication.
    Any,
    /// Publications of a protocol.
    Protocol(Protocol),
    /// Publications of the nodes in a group.
    Group(Label),
    /// One publication.
    Publication(Label),
}

/// Why a text is no entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// The name after the colon is none.
    #[error("in {entry}: {cause}")]
    Name {
        /// The text, quoted.
        entry: String,
        /// What is wrong with the name.
        cause: LabelError,
    },
    /// The id of a key is no UUID.
    #[error("in {entry}: a key is named by its id, like key:01890a5d-ac96-774b-bcce-b302099a8057")]
    Key {
        /// The text, quoted.
        entry: String,
    },
    /// No network, and no other word of the list either.
    #[error("{cause}; or one of \"any\", \"overlay\" and \"group:NAME\"")]
    Network {
        /// What is wrong with the network.
        cause: NetworkError,
    },
    /// A word that this list does not have.
    #[error("{entry} is none of \"any\", \"group:NAME\", \"node:NAME\" and \"key:ID\"")]
    Who {
        /// The text, quoted.
        entry: String,
    },
}

impl Who {
    /// The node that this entry names.
    pub(crate) fn node(&self) -> Option<&Label> {
        match self {
            Self::Node(name) => Some(name),
            Self::Any | Self::Group(_) | Self::Key(_) => None,
        }
    }
}

impl FromStr for Who {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == ANY => Ok(Self::Any),
            Some(("group", name)) => label(text, name).map(Self::Group),
            Some(("node", name)) => label(text, name).map(Self::Node),
            Some(("key", id)) => Uuid::parse_str(id)
                .map(Self::Key)
                .map_err(|_| SelectorError::Key { entry: quoted(text) }),
            _ => Err(SelectorError::Who { entry: quoted(text) }),
        }
    }
}

impl FromStr for Source {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix(GROUP)) {
            (_, Some(name)) => label(text, name).map(Self::Group),
            (ANY, None) => Ok(Self::Any),
            (OVERLAY, None) => Ok(Self::Overlay),
            (network, None) => Network::parse(network)
                .map(Self::Network)
                .map_err(|cause| SelectorError::Network { cause }),
        }
    }
}

impl FromStr for To {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix(GROUP) {
            return label(text, name).map(Self::Group);
        }
        if let Some(name) = text.strip_prefix(PUBLICATION) {
            return label(text, name).map(Self::Publication);
        }
        if text == ANY {
            return Ok(Self::Any);
        }
        match text.parse() {
            Ok(protocol) => Ok(Self::Protocol(protocol)),
            Err(_) => label(text, text).map(Self::Publication),
        }
    }
}

fn label(entry: &str, name: &str) -> Result<Label, SelectorError> {
    Label::parse(name).map_err(|cause| SelectorError::Name { entry: quoted(entry), cause })
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(ANY),
            Self::Group(name) => write!(f, "{GROUP}{name}"),
            Self::Node(name) => write!(f, "node:{name}"),
            Self::Key(id) => write!(f, "key:{id}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(ANY),
            Self::Overlay => f.write_str(OVERLAY),
            Self::Group(name) => write!(f, "{GROUP}{name}"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(ANY),
            Self::Protocol(protocol) => protocol.fmt(f),
            Self::Group(name) => write!(f, "{GROUP}{name}"),
            Self::Publication(name) if is_word(name.as_str()) => write!(f, "{PUBLICATION}{name}"),
            Self::Publication(name) => name.fmt(f),
        }
    }
}

/// True for a publication's name that alone would mean something else.
fn is_word(name: &str) -> bool {
    name == ANY || name.parse::<Protocol>().is_ok()
}

serde_as_text!(Who, SelectorError);
serde_as_text!(Source, SelectorError);
serde_as_text!(To, SelectorError);

const ANY: &str = "any";
const OVERLAY: &str = "overlay";
const GROUP: &str = "group:";
const PUBLICATION: &str = "publication:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_written_as_it_is_read() {
        for text in ["any", "group:dev", "node:nas", "key:01890a5d-ac96-774b-bcce-b302099a8057"] {
            assert_eq!(text.parse::<Who>().unwrap().to_string(), text);
        }
        for text in ["any", "overlay", "group:dev", "10.0.0.0/8", "10.1.2.3", "2001:db8::/32"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        for text in
            ["any", "udp", "http", "group:dev", "game", "publication:udp", "publication:any"]
        {
            assert_eq!(text.parse::<To>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_publication_called_like_a_protocol_needs_its_long_name() {
        let name = Label::parse("udp").unwrap();
        assert_eq!("publication:udp".parse(), Ok(To::Publication(name)));
        assert_eq!("udp".parse(), Ok(To::Protocol(Protocol::Udp)));
    }

    #[test]
    fn wrong_entries_say_what_would_be_right() {
        let who = |text: &str| text.parse::<Who>().unwrap_err().to_string();
        assert_eq!(
            who("dev"),
            "`dev` is none of \"any\", \"group:NAME\", \"node:NAME\" and \"key:ID\""
        );
        assert_eq!(who("group:Dev"), "in `group:Dev`: names are lower-case: write `dev`");
        assert!(who("key:7").starts_with("in `key:7`: a key is named by its id"));
        assert!(who("").contains("none of"));

        let source = |text: &str| text.parse::<Source>().unwrap_err().to_string();
        assert!(source("10.1.2.3/8").contains("write 10.0.0.0/8 for the network"));
        assert!(source("overlays").ends_with("or one of \"any\", \"overlay\" and \"group:NAME\""));
        assert!(source("group:").contains("a name is empty"));

        let to = |text: &str| text.parse::<To>().unwrap_err().to_string();
        assert_eq!(to("Game"), "in `Game`: names are lower-case: write `game`");
        assert!(to("group:a b").contains("is not one of a-z"));
    }
}
