//! What a stranger with a join key says in the walled garden.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A stranger with a join key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinBody {
    /// Id of the key.
    pub key_id: Uuid,
    /// Its secret, 20 bytes, base64url without padding.
    #[schema(value_type = String)]
    pub secret: JoinSecret,
    /// The network that the key names.
    pub network: Uuid,
    /// What the machine calls itself; made fit where it is no DNS label.
    pub name: String,
    /// Version of the agent.
    pub version: String,
    /// The node goes when it has been away for a while, as one whose key says so does.
    #[serde(default)]
    pub ephemeral: bool,
}

/// The secret of a join key: 160 random bits, wiped when dropped. It is written where it is sent, and shown nowhere else.
#[derive(Clone)]
pub struct JoinSecret(Zeroizing<[u8; Self::BYTES]>);

impl JoinSecret {
    /// How long it is.
    pub const BYTES: usize = 20;

    /// From its bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the text of the join key and for the hash that is stored.
    pub fn reveal(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl Serialize for JoinSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64URL_NOPAD.encode(self.reveal())))
    }
}

/// The error never quotes the text.
impl<'de> Deserialize<'de> for JoinSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let refused = || de::Error::custom("not 20 bytes of base64url without padding");
        let text = Zeroizing::new(String::deserialize(deserializer).map_err(|_| refused())?);
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| refused())?;
        bytes.as_slice().try_into().map(Self::new).map_err(|_| refused())
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_reads_the_body_that_an_agent_writes_and_nobody_shows_its_secret() {
        let body = JoinBody {
            key_id: Uuid::nil(),
            secret: JoinSecret::new([255; JoinSecret::BYTES]),
            network: Uuid::max(),
            name: "laptop".to_owned(),
            version: "0.1.0".to_owned(),
            ephemeral: true,
        };
        let text = serde_json::to_string(&body).unwrap();
        assert!(text.contains(r#""secret":"__________________________8""#), "{text}");
        let read: JoinBody = serde_json::from_str(&text).unwrap();
        assert_eq!(read.secret.reveal(), body.secret.reveal());
        assert_eq!((read.key_id, read.network), (body.key_id, body.network));
        assert_eq!((read.name, read.version, read.ephemeral), (body.name, body.version, true));

        let shown = format!("{:?}", body.secret);
        assert_eq!(shown, "JoinSecret(***)");
    }

    #[test]
    fn an_error_does_not_quote_the_secret() {
        for wrong in ["\"canary\"", "\"canary*canary\"", "42"] {
            let error = serde_json::from_str::<JoinSecret>(wrong).unwrap_err().to_string();
            assert!(!error.contains("canary") && !error.contains("42"), "{error}");
        }
    }
}
