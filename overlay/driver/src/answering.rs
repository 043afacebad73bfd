//! From which of our addresses a correspondent is answered: the one that it asked, or its NAT drops the answer.
//!
//! Nearly everybody asks one address, so that one is remembered once and the table holds only the others. An unauthenticated datagram
//! is answered where it came to, and never moves somebody who was heard before.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::limits::ANSWERING_ELSEWHERE_MAX;

/// Which address answers whom.
#[derive(Debug, Default)]
pub(crate) struct Answering {
    usual_v4: Option<IpAddr>,
    usual_v6: Option<IpAddr>,
    elsewhere: HashMap<SocketAddr, IpAddr>,
}

impl Answering {
    /// Notes that `from` wrote to `asked`.
    pub(crate) fn note(&mut self, from: SocketAddr, asked: IpAddr, authenticated: bool) {
        let usual = match from.ip() {
            IpAddr::V4(_) => &mut self.usual_v4,
            IpAddr::V6(_) => &mut self.usual_v6,
        };
        if *usual.get_or_insert(asked) == asked {
            if authenticated && !self.elsewhere.is_empty() {
                self.elsewhere.remove(&from);
            }
            return;
        }
        if self.elsewhere.len() >= ANSWERING_ELSEWHERE_MAX {
            self.elsewhere.clear();
        }
        let known = self.elsewhere.entry(from).or_insert(asked);
        if authenticated {
            *known = asked;
        }
    }

    /// The address to answer `to` from, where one is known.
    pub(crate) fn source_for(&self, to: SocketAddr) -> Option<IpAddr> {
        let usual = match to.ip() {
            IpAddr::V4(_) => self.usual_v4,
            IpAddr::V6(_) => self.usual_v6,
        };
        if self.elsewhere.is_empty() {
            return usual;
        }
        self.elsewhere.get(&to).copied().or(usual)
    }

    /// Forgets everything, as when our own addresses have changed.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_answered_from_where_they_asked() {
        let mut answering = Answering::default();
        let (first, second) = (address("192.0.2.1:5"), address("192.0.2.2:5"));
        answering.note(first, ip("198.51.100.1"), true);
        answering.note(second, ip("203.0.113.1"), true);
        assert_eq!(answering.source_for(first), Some(ip("198.51.100.1")));
        assert_eq!(answering.source_for(second), Some(ip("203.0.113.1")));
    }

    #[test]
    fn a_forged_datagram_moves_nobody_for_longer_than_their_next_word() {
        let mut answering = Answering::default();
        let agent = address("192.0.2.1:5");
        answering.note(agent, ip("198.51.100.1"), true);
        answering.note(agent, ip("203.0.113.1"), false);
        answering.note(agent, ip("198.51.100.1"), true);
        assert_eq!(answering.source_for(agent), Some(ip("198.51.100.1")));
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
}
