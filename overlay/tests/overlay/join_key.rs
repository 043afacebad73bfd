//! Join keys as people handle them: copied, cut, retyped.

use bore_overlay::{JoinKey, JoinKeyError, JoinSecret, NetworkId, RelayAddress};
use proptest::prelude::*;

use crate::lab::cluster;

#[test]
fn a_join_key_is_one_lower_case_line() {
    let text = example().encode();
    assert!(text.starts_with("bore_join_"));
    assert!(
        text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
    );
}

#[test]
fn space_around_and_capital_letters_do_not_matter() {
    let text = example().encode();
    let shouted = format!("  {}\n", text.to_uppercase());
    assert_eq!(JoinKey::parse(&shouted), Ok(example()));
}

#[test]
fn attack_02_something_else_is_told_apart_from_a_damaged_key() {
    for text in ["", "hello", "bore_api_abc", "bore-join-abc", "bore_join", "böre_join_abc"] {
        assert_eq!(JoinKey::parse(text), Err(JoinKeyError::NotAJoinKey), "{text}");
    }
}

#[test]
fn attack_02_a_cut_is_told_offline_wherever_it_is() {
    let text = example().encode();
    for length in "bore_join_".len()..text.len() {
        let error = JoinKey::parse(&text[..length]).unwrap_err();
        assert!(matches!(error, JoinKeyError::Truncated), "{length}: {error}");
    }
}

#[test]
fn a_later_version_is_told_as_such() {
    let mut bytes = decode(&example().encode());
    bytes[0] = 9;
    assert_eq!(JoinKey::parse(&sealed(bytes)), Err(JoinKeyError::Version(9)));
}

#[test]
fn a_sound_key_with_an_impossible_address_is_refused() {
    let empty = JoinKey { relays: vec![], ..example() };
    assert_eq!(JoinKey::parse(&empty.encode()), Err(JoinKeyError::Address));
    let mut bytes = decode(&example().encode());
    bytes[85] = 5;
    assert_eq!(JoinKey::parse(&sealed(bytes)), Err(JoinKeyError::Address));
}

#[test]
fn a_join_key_does_not_show_its_secret() {
    assert!(format!("{:?}", example()).contains("JoinSecret(***)"));
}

#[test]
fn every_error_says_what_to_do() {
    for error in [
        JoinKeyError::NotAJoinKey,
        JoinKeyError::Truncated,
        JoinKeyError::Checksum,
        JoinKeyError::Version(2),
        JoinKeyError::Address,
    ] {
        assert!(error.to_string().contains(": "), "{error}");
    }
}

proptest! {
    #[test]
    fn a_join_key_survives_its_text(key in any_key()) {
        prop_assert_eq!(JoinKey::parse(&key.encode()), Ok(key));
    }

    #[test]
    fn attack_02_every_wrong_character_is_detected(key in any_key(), at in any::<prop::sample::Index>(), other in "[!-~]") {
        let text = key.encode();
        let at = at.index(text.len());
        prop_assume!(!text[at..=at].eq_ignore_ascii_case(&other));
        let mut mutated = text.to_string();
        mutated.replace_range(at..=at, &other);
        prop_assert!(JoinKey::parse(&mutated).is_err());
    }

    #[test]
    fn no_text_panics(text in ".{0,200}", tail in "[a-z2-7]{0,2500}") {
        let _ = JoinKey::parse(&text);
        let _ = JoinKey::parse(&format!("bore_join_{tail}"));
    }
}

fn any_key() -> impl Strategy<Value = JoinKey> {
    let relay = prop_oneof![
        (1_u8..224, any::<[u8; 3]>(), 1_u16..)
            .prop_map(|(a, [b, c, d], port)| format!("{a}.{b}.{c}.{d}:{port}")),
        (any::<[u16; 7]>(), 1_u16..).prop_map(|([b, c, d, e, f, g, h], port)| {
            format!("[2001:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}]:{port}")
        }),
        ("[a-z][a-z0-9]{0,20}(\\.[a-z][a-z0-9]{0,20}){0,4}", 1_u16..)
            .prop_map(|(host, port)| format!("{host}:{port}")),
    ]
    .prop_map(|text| text.parse::<RelayAddress>().unwrap());
    (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 20]>(), prop::collection::vec(relay, 1..=4))
        .prop_map(|(network, key_id, secret, relays)| JoinKey {
            cluster: cluster().public(),
            network: NetworkId(network),
            key_id,
            secret: JoinSecret::from_bytes(secret),
            relays,
        })
}

fn example() -> JoinKey {
    JoinKey {
        cluster: cluster().public(),
        network: NetworkId([1; 16]),
        key_id: [2; 16],
        secret: JoinSecret::from_bytes([3; 20]),
        relays: vec!["203.0.113.1:443".parse().unwrap(), "relay.example.org:443".parse().unwrap()],
    }
}

fn decode(text: &str) -> Vec<u8> {
    let encoded = text.trim_start_matches("bore_join_").to_uppercase();
    data_encoding::BASE32_NOPAD.decode(encoded.as_bytes()).unwrap()
}

/// The text of changed bytes, with a checksum that fits.
fn sealed(mut bytes: Vec<u8>) -> String {
    let body = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..body]).to_be_bytes();
    bytes[body..].copy_from_slice(&checksum);
    format!("bore_join_{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase())
}
