//! What was probably meant by a text that is no network, for the error that shows it.
//!
//! Nothing here makes a [`super::Network`]: a guess is shown and never taken.

use std::net::IpAddr;

use ipnet::Ipv4Net;

use super::{NetworkError, plain_number};
use crate::text::{is_digits, quoted};

/// The error for what follows a slash and is no plain number.
pub(super) fn wrong_length(text: &str, address: IpAddr, length: &str, max: u8) -> NetworkError {
    let netmask = length.parse::<IpAddr>().ok();
    match netmask.and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok()) {
        Some(bits) if bits <= max => NetworkError::Spelling {
            text: quoted(text),
            problem: "has a netmask instead of a prefix length",
            instead: format!("{address}/{bits}"),
        },
        _ => NetworkError::LengthNotANumber { text: quoted(length), max },
    }
}

/// The error for a text that does not begin with an address; `address` is the part before the slash.
pub(super) fn not_an_address(text: &str, address: &str) -> NetworkError {
    let spelling =
        |problem, instead| NetworkError::Spelling { text: quoted(text), problem, instead };
    if text.trim() != text {
        return spelling("has spaces around it", quoted(text.trim()));
    }
    if let Some((front, _)) = address.split_once('%')
        && is_address(front)
    {
        return spelling("names a network interface", front.to_owned());
    }
    if let Some(instead) = without_port(address) {
        return spelling("has brackets or a port, and rules are about addresses", instead);
    }
    if let Some((first, last)) = address.split_once('-')
        && is_address(first)
        && is_address(last)
    {
        return spelling(
            "is a range of addresses",
            "one or several networks like 10.0.0.0/8".into(),
        );
    }
    if let Some(instead) = shortened_v4(text, address) {
        return spelling("is a shortened IPv4 network", instead);
    }
    if let Some(instead) = without_leading_zeros(address) {
        return spelling("has leading zeros, which some programs read as octal", instead);
    }
    NetworkError::NotAnAddress { text: quoted(text) }
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn without_port(text: &str) -> Option<String> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = bracketed.or_else(|| text.split_once(':'))?;
    let port = port.strip_prefix(':').unwrap_or(port);
    (is_address(host) && (port.is_empty() || is_digits(port))).then(|| host.to_owned())
}

/// `10.1/16`, `10.1.*` and `10.1.*.*` as `10.1.0.0/16`.
fn shortened_v4(text: &str, address: &str) -> Option<String> {
    let stars = address.ends_with('*');
    if stars == text.contains('/') {
        return None;
    }
    let known: Vec<u8> = address
        .trim_end_matches(['.', '*'])
        .split('.')
        .map(|octet| plain_number(octet).and_then(|number| u8::try_from(number).ok()))
        .collect::<Option<_>>()?;
    let mut octets = [0; 4];
    let bits = 8 * u8::try_from(known.len()).ok().filter(|count| (1..=3).contains(count))?;
    octets.iter_mut().zip(known).for_each(|(octet, value)| *octet = value);
    let length = match text.split_once('/') {
        Some((_, length)) => plain_number(length).and_then(|number| u8::try_from(number).ok())?,
        None => bits,
    };
    let network = Ipv4Net::new(octets.into(), length).ok()?;
    Some(network.trunc().to_string())
}

fn without_leading_zeros(address: &str) -> Option<String> {
    let octets: Vec<&str> = address.split('.').filter(|octet| is_digits(octet)).collect();
    let plain: Vec<String> = octets
        .iter()
        .map(|octet| octet.trim_start_matches('0'))
        .map(|octet| if octet.is_empty() { "0".to_owned() } else { octet.to_owned() })
        .collect();
    let joined = plain.join(".");
    (joined != address && address.split('.').count() == 4)
        .then_some(joined)
        .filter(|text| is_address(text))
}
