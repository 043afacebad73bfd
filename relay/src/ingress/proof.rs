//! What shows that a visitor's datagrams are its own: the source address of UDP can be forged.
//!
//! A service that answers with more than it was asked would flood the host that is named as the source. So answers are bounded by what is
//! known of the visitor, without a protocol of our own:
//!
//! | the visitor | its answers |
//! |---|---|
//! | is unproved | share [`ONE_SIDED_BYTES_PER_SECOND`](crate::limits::ONE_SIDED_BYTES_PER_SECOND) with those of its prefix, and end after [`UNANSWERED_BYTES_MAX`](crate::limits::UNANSWERED_BYTES_MAX) until it is heard again |
//! | is a listener: it has been heard between answers for [`LISTENER_AFTER`] | share [`LISTENER_BYTES_PER_SECOND`](crate::limits::LISTENER_BYTES_PER_SECOND) with those of its prefix |
//! | is proved | have no bound |
//!
//! A visitor is proved when it repeats four bytes that only an answer could tell it, which is return routability as with the tokens of
//! RFC 9000 §8.1 and the cookies of RFC 9147 §5.1. WireGuard, QUIC, DTLS, OpenVPN, TURN and RTCP do that with an index, an identifier or a
//! nonce. Bytes that the visitor sent itself, or that other visitors were answered with, prove nothing. A visitor is also proved when it
//! has a TCP connection with this relay (RTSP, `iperf3`), and when the publication's own allow list names it, or a network of a size that
//! its owner can answer for. A forger that is blind and
//! patient can become a listener, which is why listeners have a bound.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// What is known of one visitor.
#[derive(Debug)]
pub(super) struct Proof {
    is_proved: bool,
    /// The beginning of the conversation, while it may still prove something.
    beginning: Option<Box<Beginning>>,
    is_answered: bool,
    heard_at: Instant,
    /// Since when it has been heard between answers.
    listens_since: Option<Instant>,
    /// When its TCP connections were last looked for.
    looked_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Beginning {
    /// What the visitor sent, one head behind the other.
    sent: Vec<u8>,
    /// What only answers could tell it.
    told: Vec<Word>,
    answers: usize,
}

/// Words of the answers of late, of all visitors: what several are told is no secret.
#[derive(Debug, Default)]
pub(super) struct ToldWords {
    young: HashSet<Word>,
    old: HashSet<Word>,
}

type Word = [u8; 4];

impl Proof {
    pub(super) fn new(is_proved: bool, now: Instant) -> Self {
        Self {
            is_proved,
            beginning: (!is_proved).then(Box::default),
            is_answered: false,
            heard_at: now,
            listens_since: None,
            looked_at: None,
        }
    }

    /// Takes a datagram of the visitor.
    pub(super) fn hear(&mut self, datagram: &[u8], now: Instant) {
        self.heard_at = now;
        if self.is_answered {
            self.listens_since.get_or_insert(now);
        }
        let Some(beginning) = &mut self.beginning else { return };
        let head = head(datagram);
        self.is_proved = beginning.told.iter().any(|word| words(head).any(|other| other == *word));
        beginning.sent.extend_from_slice(head);
        if self.is_proved || beginning.sent.len() >= HEADS_MAX * HEAD_BYTES {
            self.beginning = None;
        }
    }

    /// Takes an answer that is sent to the visitor.
    pub(super) fn answer(&mut self, datagram: &[u8], told: &mut ToldWords) {
        self.is_answered = true;
        let Some(beginning) = &mut self.beginning else { return };
        if beginning.answers == HEADS_MAX {
            return;
        }
        beginning.answers += 1;
        let sent = &beginning.sent;
        let is_new = |word: &Word| told.note(*word) && !words(sent).any(|other| other == *word);
        beginning.told.extend(words(head(datagram)).filter(is_new));
    }

    pub(super) fn is_proved(&self) -> bool {
        self.is_proved
    }

    /// Returns true if it has been heard again, between answers, for a while and of late.
    pub(super) fn is_listener(&self, now: Instant) -> bool {
        let is_here = now.saturating_duration_since(self.heard_at) <= LISTENER_SILENT_MAX;
        let listens_for = self.listens_since.map(|since| now.saturating_duration_since(since));
        is_here && listens_for.is_some_and(|listens_for| listens_for >= LISTENER_AFTER)
    }

    /// Looks, but not for every datagram, for a TCP connection of the visitor: it proves the address.
    pub(super) fn look_for_connection(
        &mut self,
        now: Instant,
        find: impl FnOnce() -> bool,
    ) -> bool {
        let is_due = |at| now.saturating_duration_since(at) >= LOOK_INTERVAL;
        if self.looked_at.is_none_or(is_due) {
            self.looked_at = Some(now);
            self.is_proved |= find();
        }
        self.is_proved
    }
}

impl ToldWords {
    /// Notes a word; returns true if it was not known.
    fn note(&mut self, word: Word) -> bool {
        if self.young.len() >= WORDS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        let is_known = self.old.contains(&word);
        self.young.insert(word) && !is_known
    }
}

fn head(datagram: &[u8]) -> &[u8] {
    datagram.get(..HEAD_BYTES).unwrap_or(datagram)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = Word> {
    bytes.array_windows().copied()
}

/// How much of a datagram is looked at: the second hello of DTLS has its cookie 61 bytes behind its beginning.
const HEAD_BYTES: usize = 96;
/// How many datagrams of each side are.
const HEADS_MAX: usize = 4;
/// Words that are remembered twice over.
const WORDS_MAX: usize = 65_536;
/// How long a visitor is heard between answers until it counts as a listener.
const LISTENER_AFTER: Duration = Duration::from_secs(10);
/// How long it may be silent then.
const LISTENER_SILENT_MAX: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_repeats_what_only_the_answer_says_is_proved() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"initiation");
        lab.answer(&mut visitor, b"\x02\0\0\0\x9a\xbc\xde\xf0response");
        assert!(!visitor.is_proved());
        visitor.hear(b"\x04\0\0\0\x9a\xbc\xde\xf0data", lab.now);
        assert!(visitor.is_proved());
    }

    #[test]
    fn an_echo_tells_nothing() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"forged bytes");
        lab.answer(&mut visitor, b"forged bytes, and forged bytes again");
        visitor.hear(b"forged bytes", lab.now);
        assert!(!visitor.is_proved());
    }

    #[test]
    fn what_everybody_is_told_tells_nothing() {
        let mut lab = Lab::new();
        let mut attacker = lab.visitor(b"?");
        lab.answer(&mut attacker, b"220 welcome to the amplifier");
        let mut victim = lab.visitor(b"?");
        lab.answer(&mut victim, b"220 welcome to the amplifier");
        victim.hear(b"welcome to the amplifier", lab.now);
        assert!(!victim.is_proved());
    }

    #[test]
    fn only_the_beginning_is_looked_at() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"?");
        for _ in 0..HEADS_MAX * HEAD_BYTES {
            visitor.hear(b"?", lab.now);
        }
        lab.answer(&mut visitor, b"a secret");
        visitor.hear(b"a secret", lab.now);
        assert!(!visitor.is_proved());
        assert!(visitor.beginning.is_none(), "and nothing is kept of it");
    }

    #[test]
    fn a_listener_is_heard_between_answers_for_a_while() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"?");
        lab.pass(LISTENER_AFTER);
        assert!(!visitor.is_listener(lab.now), "it asked once");
        lab.answer(&mut visitor, b"!");
        visitor.hear(b"?", lab.now);
        assert!(!visitor.is_listener(lab.now), "and just now again");
        lab.pass(LISTENER_AFTER);
        assert!(visitor.is_listener(lab.now));
        lab.pass(LISTENER_SILENT_MAX);
        assert!(!visitor.is_listener(lab.now), "it went away");
    }

    #[test]
    fn a_connection_proves_and_is_not_looked_for_all_the_time() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"?");
        assert!(!visitor.look_for_connection(lab.now, || false));
        assert!(!visitor.look_for_connection(lab.now, || panic!("it was looked for just now")));
        lab.pass(LOOK_INTERVAL);
        assert!(visitor.look_for_connection(lab.now, || true));
    }

    #[test]
    fn remembered_words_are_bounded() {
        let mut told = ToldWords::default();
        for number in 0..300_000_u32 {
            assert!(told.note(number.to_be_bytes()));
        }
        assert!(told.young.len() <= WORDS_MAX && told.old.len() <= WORDS_MAX);
        assert!(!told.note(299_999_u32.to_be_bytes()));
    }

    struct Lab {
        told: ToldWords,
        now: Instant,
    }

    impl Lab {
        fn new() -> Self {
            Self { told: ToldWords::default(), now: Instant::now() }
        }

        fn visitor(&self, datagram: &[u8]) -> Proof {
            let mut visitor = Proof::new(false, self.now);
            visitor.hear(datagram, self.now);
            visitor
        }

        fn answer(&mut self, visitor: &mut Proof, datagram: &[u8]) {
            visitor.answer(datagram, &mut self.told);
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }
    }
}
