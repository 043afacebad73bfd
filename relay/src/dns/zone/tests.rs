//! The zone in examples and properties.

use proptest::prelude::*;

use super::*;

#[test]
fn the_apex_has_soa_ns_addresses_and_caa() {
    let zone = zone();
    assert_eq!(data(&zone, "t.example.org", RecordType::NS), ["relay.example.org."]);
    assert_eq!(data(&zone, "t.example.org", RecordType::A), ["203.0.113.1"]);
    assert_eq!(data(&zone, "t.example.org", RecordType::AAAA), ["2001:db8::1"]);
    let soa = data(&zone, "t.example.org", RecordType::SOA);
    assert_eq!(soa, ["relay.example.org. hostmaster.t.example.org. 7 3600 600 604800 5"]);
    assert_eq!(data(&zone, "t.example.org", RecordType::CAA), [""; 0], "nobody is named yet");
    zone.set_issuers(vec![Issuer {
        authority: "ca.example".to_owned(),
        account_uri: Some("https://ca.example/acct/1".to_owned()),
    }]);
    let caa = data(&zone, "t.example.org", RecordType::CAA);
    let value = "\"ca.example; accounturi=https://ca.example/acct/1\"";
    assert_eq!(caa, [format!("0 issue {value}"), format!("0 issuewild {value}")]);
    zone.set_issuers(Vec::new());
    assert_eq!(data(&zone, "t.example.org", RecordType::CAA), [""; 0], "anybody again");
}

#[test]
fn an_authority_that_has_no_name_forbids_nobody_anything() {
    for nameless in ["", ".", "a..b", &"x".repeat(300)] {
        let issuer = Issuer { authority: nameless.to_owned(), account_uri: None };
        assert!(!issuer.is_sound(), "`{nameless}`");
        let zone = zone();
        zone.set_issuers(vec![issuer]);
        assert_eq!(data(&zone, "t.example.org", RecordType::CAA), [""; 0]);
    }
}

#[test]
fn a_published_name_has_the_relays_addresses_and_no_other_name_exists() {
    let zone = zone();
    assert_eq!(data(&zone, "app.t.example.org", RecordType::A), ["203.0.113.1"]);
    assert_negative(&zone, "app.t.example.org", RecordType::MX, ResponseCode::NoError);
    assert_negative(&zone, "other.t.example.org", RecordType::A, ResponseCode::NXDomain);
    assert_negative(&zone, "below.app.t.example.org", RecordType::A, ResponseCode::NXDomain);
    assert_negative(&zone, "b.t.example.org", RecordType::A, ResponseCode::NoError);
    assert_eq!(data(&zone, "a.b.t.example.org", RecordType::A), ["203.0.113.1"]);
}

#[test]
fn names_outside_and_transfers_are_refused_without_a_record() {
    let zone = zone();
    for (outside, kind) in [
        ("example.org", RecordType::A),
        ("xt.example.org", RecordType::A),
        (".", RecordType::NS),
        ("t.example.org.evil.test", RecordType::A),
        ("t.example.org", RecordType::AXFR),
    ] {
        let answer = zone.answer(&name(outside), kind);
        assert_eq!((answer.code, answer.soa), (ResponseCode::Refused, None), "{outside}");
    }
}

#[test]
fn several_proofs_stand_beside_each_other_and_go_one_by_one() {
    let (zone, challenge) = (zone(), "_acme-challenge.t.example.org");
    assert_negative(&zone, challenge, RecordType::TXT, ResponseCode::NXDomain);
    zone.publish_txt(challenge, "apex").unwrap();
    zone.publish_txt("_Acme-Challenge.T.example.org.", "wildcard").unwrap();
    assert_eq!(data(&zone, challenge, RecordType::TXT), ["apex", "wildcard"]);
    zone.withdraw_txt(challenge, "apex").unwrap();
    assert_eq!(data(&zone, challenge, RecordType::TXT), ["wildcard"]);
    zone.withdraw_txt(challenge, "wildcard").unwrap();
    assert_negative(&zone, challenge, RecordType::TXT, ResponseCode::NXDomain);
}

#[test]
fn a_name_above_a_proof_exists_without_records() {
    let zone = zone();
    zone.publish_txt("_acme-challenge.new.t.example.org", "v").unwrap();
    assert_negative(&zone, "new.t.example.org", RecordType::A, ResponseCode::NoError);
}

#[test]
fn a_proof_goes_only_where_this_zone_is() {
    let zone = zone();
    assert!(matches!(
        zone.publish_txt("_acme-challenge.example.org", "v"),
        Err(TxtError::Name { .. })
    ));
    assert!(matches!(
        zone.publish_txt("_acme-challenge..t.example.org", "v"),
        Err(TxtError::Name { .. })
    ));
    let long = "v".repeat(TXT_VALUE_BYTES_MAX + 1);
    assert!(matches!(zone.publish_txt("a.t.example.org", &long), Err(TxtError::Name { .. })));
}

#[test]
fn any_gets_one_small_record() {
    let answer = zone().answer(&name("t.example.org"), RecordType::ANY);
    assert_eq!(answer.answers.len(), 1);
    assert_eq!(answer.answers[0].record_type(), RecordType::HINFO);
}

#[test]
fn a_relay_without_a_name_is_ns_in_its_own_zone() {
    let zone =
        Zone::new("t.example.org", "203.0.113.1", 7, Box::new(|_| Standing::Absent)).unwrap();
    zone.set_addresses(vec!["203.0.113.1".parse().unwrap()]);
    assert_eq!(data(&zone, "t.example.org", RecordType::NS), ["ns.t.example.org."]);
    assert_eq!(data(&zone, "ns.t.example.org", RecordType::A), ["203.0.113.1"]);
}

#[test]
fn a_host_deep_in_the_zone_has_existing_names_above_it() {
    let host = "relay.eu.t.example.org";
    let zone = Zone::new("t.example.org", host, 7, Box::new(|_| Standing::Absent)).unwrap();
    zone.set_addresses(vec!["203.0.113.1".parse().unwrap()]);
    assert_eq!(data(&zone, host, RecordType::A), ["203.0.113.1"]);
    assert_negative(&zone, "eu.t.example.org", RecordType::A, ResponseCode::NoError);
}

#[test]
fn what_is_published_is_asked_for_at_each_answer() {
    let published = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let live = std::sync::Arc::clone(&published);
    let standing = move |_: &str| match live.load(std::sync::atomic::Ordering::Relaxed) {
        true => Standing::Published,
        false => Standing::Absent,
    };
    let zone = Zone::new("t.example.org", "relay.example.org", 7, Box::new(standing)).unwrap();
    zone.set_addresses(vec!["203.0.113.1".parse().unwrap()]);
    assert_eq!(data(&zone, "app.t.example.org", RecordType::A), ["203.0.113.1"]);
    published.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_negative(&zone, "app.t.example.org", RecordType::A, ResponseCode::NXDomain);
}

proptest! {
    /// Whatever is asked: nothing about names outside, records only of the name and the type asked for, and a negative answer says how long it holds.
    #[test]
    fn every_answer_is_about_the_question(
        labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..12), 0..5),
        inside: bool,
        kind in any::<u16>(),
    ) {
        let zone = zone();
        let suffix = name(if inside { "t.example.org" } else { "t.example.com" });
        let asked = Name::from_labels(labels).unwrap().append_domain(&suffix).unwrap();
        let kind = RecordType::from(kind);
        let answer = zone.answer(&asked, kind);
        prop_assert_eq!(answer.code == ResponseCode::Refused, !inside || matches!(kind, RecordType::AXFR | RecordType::IXFR));
        for record in &answer.answers {
            prop_assert_eq!(record.name.to_ascii(), asked.to_ascii(), "spelled as asked");
            prop_assert!(record.record_type() == kind || kind == RecordType::ANY);
        }
        let negative = answer.code != ResponseCode::Refused && answer.answers.is_empty();
        prop_assert_eq!(answer.soa.is_some(), negative);
    }

    /// A proof is found under every spelling of its name, and gone after it was taken away.
    #[test]
    fn proofs_come_and_go(label in "[a-z0-9]{1,20}", value in "[A-Za-z0-9_-]{1,60}", upper: bool) {
        let zone = zone();
        let text = format!("_acme-challenge.{label}.t.example.org");
        let asked = if upper { text.to_uppercase() } else { text.clone() };
        zone.publish_txt(&asked, &value).unwrap();
        prop_assert_eq!(data(&zone, &text, RecordType::TXT), [value.clone()]);
        zone.withdraw_txt(&text, &value).unwrap();
        prop_assert_eq!(zone.answer(&name(&text), RecordType::TXT).answers.len(), 0);
    }
}

/// `app` and `a.b` are published.
fn zone() -> Zone {
    let standing = |name: &str| match name {
        "app.t.example.org" | "a.b.t.example.org" => Standing::Published,
        "b.t.example.org" => Standing::Above,
        _ => Standing::Absent,
    };
    let zone = Zone::new("t.example.org", "relay.example.org", 7, Box::new(standing)).unwrap();
    let addresses = ["203.0.113.1", "2001:db8::1"].map(|address| address.parse().unwrap());
    zone.set_addresses(addresses.to_vec());
    zone
}

fn assert_negative(zone: &Zone, asked: &str, kind: RecordType, code: ResponseCode) {
    let answer = zone.answer(&name(asked), kind);
    assert_eq!(answer.code, code, "{asked} {kind}");
    assert!(answer.answers.is_empty());
    let soa = answer.soa.expect("a negative answer says how long it holds");
    assert_eq!((soa.name, soa.ttl), (name("t.example.org"), NEGATIVE_TTL_SECONDS));
}

fn data(zone: &Zone, asked: &str, kind: RecordType) -> Vec<String> {
    let answer = zone.answer(&name(asked), kind);
    answer.answers.iter().map(|record| record.data.to_string()).collect()
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}
