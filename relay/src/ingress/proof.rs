//! What shows that a visitor's datagrams are its own: the source address of UDP can be forged.
//!
//! A service that answers with more than it was asked would flood the host that is named as the source. So answers are bounded by what is
//! known of the visitor, without a protocol of our own:
//!
//! | the visitor | its answers |
//! |---|---|
//! | is unproved | share [`ONE_SIDED_BYTES_PER_SECOND`](crate::limits::ONE_SIDED_BYTES_PER_SECOND) with those of its prefix, and end after [`UNANSWERED_BYTES_MAX`](crate::limits::UNANSWERED_BYTES_MAX) until it is heard again |
//! | is a listener: it has been heard between answers for [`LISTENER_AFTER`] | share [`LISTENER_BYTES_PER_SECOND`](crate::limits::LISTENER_BYTES_PER_SECOND) with those of its prefix |
//! | is a repeater: it has repeated what an answer told it, and has been heard of late | share [`REPEATER_BYTES_PER_SECOND`](crate::limits::REPEATER_BYTES_PER_SECOND) with those of its prefix, and then what listeners share |
//! | is known | have no bound |
//!
//! A repeater says four bytes that only an answer could tell it, which is return routability as with the tokens of RFC 9000 §8.1 and the
//! cookies of RFC 9147 §5.1. WireGuard, QUIC, DTLS, OpenVPN, TURN and RTCP do that with an index, an identifier or a nonce. Bytes that the
//! visitor sent itself, or that other visitors were answered with, tell nothing. How good that is, is up to the service: what a name server
//! answers can be foreseen by who knows the zone, what a clock answers by everybody. Nothing in an answer tells a nonce from such bytes, so
//! repeaters have a bound too, well above what such programs need, and only while they speak.
//!
//! A visitor is known when it has a TCP connection with this relay (RTSP, `iperf3`), and when the publication's own allow list names it, or
//! a network of a size that its owner can answer for. A forger that is blind and patient can become a listener, which is why listeners have
//! a bound.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::spoof::AnswerBudget;
use crate::limits::{
    LISTENER_BYTES_PER_SECOND, ONE_SIDED_BYTES_PER_SECOND, REPEATER_BYTES_PER_SECOND,
};

/// What is known of one visitor.
#[derive(Debug)]
pub(super) struct Proof {
    is_known: bool,
    is_repeater: bool,
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

/// How far a visitor's address is believed: a row of the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Unproved,
    Listener,
    Repeater,
    Known,
}

/// What visitors of each standing may be answered with.
#[derive(Debug)]
pub(super) struct Budgets {
    unproved: AnswerBudget,
    listeners: AnswerBudget,
    repeaters: AnswerBudget,
}

impl Budgets {
    pub(super) fn new(now: Instant) -> Self {
        let budget = |bytes_per_second| AnswerBudget::new(bytes_per_second, rand::random(), now);
        Self {
            unproved: budget(ONE_SIDED_BYTES_PER_SECOND),
            listeners: budget(LISTENER_BYTES_PER_SECOND),
            repeaters: budget(REPEATER_BYTES_PER_SECOND),
        }
    }

    /// Takes `bytes` from what a visitor of this standing shares with its prefix, or says no.
    pub(super) fn take(
        &mut self,
        standing: Standing,
        visitor: IpAddr,
        bytes: usize,
        now: Instant,
    ) -> bool {
        match standing {
            Standing::Unproved => self.unproved.take(visitor, bytes, now),
            Standing::Listener => self.listeners.take(visitor, bytes, now),
            // A neighbour that pulls all of it leaves what any listener has.
            Standing::Repeater => {
                self.repeaters.take(visitor, bytes, now) || self.listeners.take(visitor, bytes, now)
            }
            Standing::Known => true,
        }
    }

    /// Notes that an answer was refused in `visitor`'s prefix.
    pub(super) fn note_refusal(&mut self, visitor: IpAddr, now: Instant) {
        self.unproved.note_refusal(visitor, now);
    }

    /// Whether `visitor`'s prefix refused several answers lately.
    pub(super) fn is_distrusted(&self, visitor: IpAddr, now: Instant) -> bool {
        self.unproved.is_distrusted(visitor, now)
    }
}

impl Proof {
    pub(super) fn new(is_known: bool, now: Instant) -> Self {
        Self {
            is_known,
            is_repeater: false,
            beginning: (!is_known).then(Box::default),
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
        self.is_repeater =
            beginning.told.iter().any(|word| words(head).any(|other| other == *word));
        beginning.sent.extend_from_slice(head);
        if self.is_repeater || beginning.sent.len() >= HEADS_MAX * HEAD_BYTES {
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

    /// How far it is believed now.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let is_here = now.saturating_duration_since(self.heard_at) <= SILENT_MAX;
        let listens_for = self.listens_since.map(|since| now.saturating_duration_since(since));
        match (self.is_known, is_here) {
            (true, _) => Standing::Known,
            (false, false) => Standing::Unproved,
            (false, true) if self.is_repeater => Standing::Repeater,
            (false, true) if listens_for.is_some_and(|time| time >= LISTENER_AFTER) => {
                Standing::Listener
            }
            (false, true) => Standing::Unproved,
        }
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
            self.is_known |= find();
        }
        self.is_known
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
/// How long a listener or repeater may be silent.
const SILENT_MAX: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_repeats_what_only_the_answer_says_is_a_repeater() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"initiation");
        lab.answer(&mut visitor, b"\x02\0\0\0\x9a\xbc\xde\xf0response");
        assert_eq!(visitor.standing(lab.now), Standing::Unproved);
        visitor.hear(b"\x04\0\0\0\x9a\xbc\xde\xf0data", lab.now);
        assert_eq!(visitor.standing(lab.now), Standing::Repeater);
    }

    #[test]
    fn who_repeats_has_a_bound_that_its_prefix_shares_and_who_is_known_has_none() {
        let lab = Lab::new();
        let mut budgets = Budgets::new(lab.now);
        let mut answered = |standing| {
            let hosts = (1..=u8::MAX).cycle().map(|host| IpAddr::from([192, 0, 2, host]));
            let bytes = 2 * REPEATER_BYTES_PER_SECOND as usize;
            let taken = hosts
                .take(bytes / ANSWER_BYTES)
                .filter(|visitor| budgets.take(standing, *visitor, ANSWER_BYTES, lab.now));
            taken.count() * ANSWER_BYTES
        };
        let most = REPEATER_BYTES_PER_SECOND as usize;
        let answers = most / ANSWER_BYTES + LISTENER_BYTES_PER_SECOND as usize / ANSWER_BYTES;
        assert_eq!(answered(Standing::Repeater), answers * ANSWER_BYTES, "and then a listener's");
        assert!(answered(Standing::Known) > most);
        assert!(answered(Standing::Listener) <= LISTENER_BYTES_PER_SECOND as usize);
    }

    #[test]
    fn who_has_repeated_what_an_answer_says_and_falls_silent_is_a_repeater_no_more() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"what is the time?");
        lab.answer(&mut visitor, b"a time that anybody can foresee");
        visitor.hear(b"foresee", lab.now);
        lab.pass(SILENT_MAX);
        assert_eq!(visitor.standing(lab.now), Standing::Repeater);
        lab.pass(Duration::from_secs(1));
        assert_eq!(visitor.standing(lab.now), Standing::Unproved);
        visitor.hear(b"here", lab.now);
        assert_eq!(visitor.standing(lab.now), Standing::Repeater);
    }

    #[test]
    fn an_echo_tells_nothing() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"forged bytes");
        lab.answer(&mut visitor, b"forged bytes, and forged bytes again");
        visitor.hear(b"forged bytes", lab.now);
        assert_eq!(visitor.standing(lab.now), Standing::Unproved);
    }

    #[test]
    fn what_everybody_is_told_tells_nothing() {
        let mut lab = Lab::new();
        let mut attacker = lab.visitor(b"?");
        lab.answer(&mut attacker, b"220 welcome to the amplifier");
        let mut victim = lab.visitor(b"?");
        lab.answer(&mut victim, b"220 welcome to the amplifier");
        victim.hear(b"welcome to the amplifier", lab.now);
        assert_eq!(victim.standing(lab.now), Standing::Unproved);
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
        assert_eq!(visitor.standing(lab.now), Standing::Unproved);
        assert!(visitor.beginning.is_none(), "and nothing is kept of it");
    }

    #[test]
    fn a_listener_is_heard_between_answers_for_a_while() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"?");
        lab.pass(LISTENER_AFTER);
        assert_eq!(visitor.standing(lab.now), Standing::Unproved, "it asked once");
        lab.answer(&mut visitor, b"!");
        visitor.hear(b"?", lab.now);
        assert_eq!(visitor.standing(lab.now), Standing::Unproved, "and just now again");
        lab.pass(LISTENER_AFTER);
        assert_eq!(visitor.standing(lab.now), Standing::Listener);
        lab.pass(SILENT_MAX);
        assert_eq!(visitor.standing(lab.now), Standing::Unproved, "it went away");
    }

    #[test]
    fn a_connection_proves_and_is_not_looked_for_all_the_time() {
        let mut lab = Lab::new();
        let mut visitor = lab.visitor(b"?");
        assert!(!visitor.look_for_connection(lab.now, || false));
        assert!(!visitor.look_for_connection(lab.now, || panic!("it was looked for just now")));
        lab.pass(LOOK_INTERVAL);
        assert!(visitor.look_for_connection(lab.now, || true));
        lab.pass(SILENT_MAX * 2);
        assert_eq!(visitor.standing(lab.now), Standing::Known, "however silent it is");
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

    const ANSWER_BYTES: usize = 60_000;

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
