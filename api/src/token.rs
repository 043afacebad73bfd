//! An API key, as people and machines carry it.
//!
//! It reads `bore_api_<id>_<secret>_<checksum>`: the id as 32 hexadecimal digits, 27 characters of base62 (160 random bits), and the CRC-32 of all before as
//! 6 characters of base62. The checksum tells a typing error from a key that is not valid; it protects nothing.
//!
//! Invariant: a token can be neither printed nor serialised; [`ApiToken::reveal`] is the one way to its text.

use uuid::Uuid;
use zeroize::Zeroizing;

/// An API key with its secret.
pub struct ApiToken {
    id: Uuid,
    secret: Zeroizing<String>,
}

/// Why a text is not an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another kind of text.
    #[error("it does not look like bore_api_…: this is not an API key")]
    NotAKey,
    /// The form is right, the checksum is not.
    #[error("its checksum does not match: a character is missing or mistyped")]
    Mistyped,
}

impl ApiToken {
    /// Makes the key `id` with a secret of the bytes that `random` gives.
    ///
    /// # Errors
    /// What `random` fails with.
    pub fn draw<E>(id: Uuid, mut random: impl FnMut() -> Result<u8, E>) -> Result<Self, E> {
        let mut secret = Zeroizing::new(String::with_capacity(SECRET_CHARS));
        while secret.len() < SECRET_CHARS {
            secret.extend(base62_digit(random()?));
        }
        Ok(Self { id, secret })
    }

    /// Reads the text of a key.
    ///
    /// # Errors
    /// Tells a typing error from another kind of text.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let (body, checksum) = text.rsplit_once('_').ok_or(TokenError::NotAKey)?;
        let (id, secret) = body
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .ok_or(TokenError::NotAKey)?;
        if checksum != crc(body) {
            return Err(TokenError::Mistyped);
        }
        let well_formed =
            secret.len() == SECRET_CHARS && secret.bytes().all(|byte| BASE62.contains(&byte));
        let id = Uuid::try_parse(id).ok().filter(|_| well_formed).ok_or(TokenError::Mistyped)?;
        Ok(Self { id, secret: Zeroizing::new(secret.to_owned()) })
    }

    /// Which key it is.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What proves it, for the hash that is stored.
    pub fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// The text, for the one answer that shows it.
    pub fn reveal(&self) -> String {
        let body = format!("{PREFIX}{}_{}", self.id.simple(), *self.secret);
        let checksum = crc(&body);
        format!("{body}_{checksum}")
    }
}

impl std::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiToken({}, ***)", self.id)
    }
}

/// A digit for `byte`; none for the last values, which would make the first digits more likely.
fn base62_digit(byte: u8) -> Option<char> {
    let fair = byte < u8::MAX - u8::MAX % 62;
    BASE62.get(usize::from(byte % 62)).filter(|_| fair).copied().map(char::from)
}

fn crc(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get(rest % 62).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

const PREFIX: &str = "bore_api_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_CHARS: usize = 27;
const CHECKSUM_CHARS: usize = 6;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_key_reads_back_as_itself() {
        let token = token();
        let text = token.reveal();
        let read = ApiToken::parse(&text).unwrap();

        assert_eq!(text.len(), PREFIX.len() + 32 + 1 + SECRET_CHARS + 1 + CHECKSUM_CHARS);
        assert_eq!((read.id(), read.secret()), (token.id(), token.secret()));
        assert_eq!(token.secret(), b"0123456789ABCDEFGHIJKLMNOPQ");
    }

    #[test]
    fn no_digit_is_likelier_than_another() {
        let digits: String = (0..=u8::MAX).filter_map(base62_digit).collect();
        let count = |digit: u8| digits.bytes().filter(|each| *each == digit).count();
        assert!(BASE62.iter().all(|digit| count(*digit) == 4), "{digits}");
    }

    #[test]
    fn a_source_that_fails_makes_no_key() {
        assert_eq!(ApiToken::draw(Uuid::nil(), || Err("dry")).unwrap_err(), "dry");
    }

    #[test]
    fn a_mistyped_key_is_told_from_another_text() {
        let text = token().reveal();
        let mut mistyped = text.clone();
        mistyped.replace_range(20..21, if text.as_bytes()[20] == b'0' { "1" } else { "0" });

        assert_eq!(ApiToken::parse(&mistyped).unwrap_err(), TokenError::Mistyped);
        assert_eq!(ApiToken::parse(&text[..text.len() - 1]).unwrap_err(), TokenError::Mistyped);
        for other in ["", "_", "bore_join_abc", "ghp_0123456789", "bore_api_", "bore_api_x_y"] {
            assert_eq!(ApiToken::parse(other).unwrap_err(), TokenError::NotAKey, "{other}");
        }
    }

    #[test]
    fn a_right_checksum_does_not_excuse_a_wrong_form() {
        for body in ["bore_api_xyz_abc", "bore_api_00000000000000000000000000000000_tooshort"] {
            let text = format!("{body}_{}", crc(body));
            assert_eq!(ApiToken::parse(&text).unwrap_err(), TokenError::Mistyped, "{body}");
        }
    }

    #[test]
    fn attack_10_debug_shows_no_secret() {
        let token = token();
        assert!(!format!("{token:?}").contains(token.secret.as_str()));
    }

    fn token() -> ApiToken {
        let mut byte = 0;
        let made = ApiToken::draw(Uuid::nil(), || {
            byte += 1;
            Ok::<_, Infallible>(byte - 1)
        });
        made.unwrap()
    }
}
