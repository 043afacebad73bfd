//! A segment in the numbers of a script: positions in a stream, of which 0 is the SYN and 1 the first byte.

use std::fmt;
use std::net::SocketAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, Ipv4Packet, TcpPacket, TcpSeqNumber};

/// One segment, of either side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// `None`: where the sender's stream stands.
    pub(crate) sequence: Option<i32>,
    pub(crate) acknowledgment: Acknowledges,
    /// In bytes; `None`: what the peer has offered from the beginning.
    pub(crate) window: Option<u32>,
    pub(crate) payload_bytes: usize,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    pub(crate) urgent: bool,
    pub(crate) echo_congestion: bool,
    pub(crate) window_reduced: bool,
    /// The two bits in the IP header.
    pub(crate) ecn: u8,
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) may_sack: bool,
    pub(crate) sack: Vec<(i32, i32)>,
    pub(crate) timestamps: Option<(u32, u32)>,
}

/// Up to where a segment acknowledges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Acknowledges {
    /// Everything that the peer has seen.
    #[default]
    Seen,
    Nothing,
    Position(i32),
}

/// A bare acknowledgment.
pub(crate) fn ack(position: i32) -> Segment {
    Segment { acknowledgment: Acknowledges::Position(position), ..Segment::default() }
}

pub(crate) fn data(start: i32, payload_bytes: usize) -> Segment {
    Segment { sequence: Some(start), payload_bytes, ..Segment::default() }
}

pub(crate) fn fin(position: i32) -> Segment {
    Segment { sequence: Some(position), fin: true, ..Segment::default() }
}

pub(crate) fn reset(position: i32) -> Segment {
    Segment { sequence: Some(position), reset: true, ..Segment::default() }
}

/// A SYN without options, at `position`.
pub(crate) fn syn(position: i32) -> Segment {
    let acknowledgment = Acknowledges::Nothing;
    Segment { sequence: Some(position), syn: true, acknowledgment, ..Segment::default() }
}

impl Segment {
    pub(crate) fn at(self, position: i32) -> Self {
        Self { sequence: Some(position), ..self }
    }

    pub(crate) fn acks(self, position: i32) -> Self {
        Self { acknowledgment: Acknowledges::Position(position), ..self }
    }

    pub(crate) fn acks_nothing(self) -> Self {
        Self { acknowledgment: Acknowledges::Nothing, ..self }
    }

    pub(crate) fn sack(self, blocks: &[(i32, i32)]) -> Self {
        Self { sack: blocks.to_vec(), ..self }
    }

    pub(crate) fn window(self, bytes: u32) -> Self {
        Self { window: Some(bytes), ..self }
    }

    pub(crate) fn timestamps(self, value: u32, echo: u32) -> Self {
        Self { timestamps: Some((value, echo)), ..self }
    }

    /// Congestion experienced (RFC 3168 §5).
    pub(crate) fn marked(self) -> Self {
        Self { ecn: 0b11, ..self }
    }

    /// Sequence numbers that it takes.
    pub(crate) fn length(&self) -> i32 {
        let payload = i32::try_from(self.payload_bytes).unwrap();
        payload + i32::from(self.syn) + i32::from(self.fin)
    }
}

/// `[flags] start[..end] [ack N] [sack A..B …]`: what an expectation is compared with.
impl fmt::Display for Segment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (self.syn, "syn "),
            (self.fin, "fin "),
            (self.reset, "rst "),
            (self.echo_congestion, "ece "),
            (self.window_reduced, "cwr "),
        ];
        for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
            out.write_str(name)?;
        }
        let start = self.sequence.unwrap_or_default();
        write!(out, "{start}")?;
        if self.length() > 0 {
            write!(out, "..{}", start + self.length())?;
        }
        if let Acknowledges::Position(position) = self.acknowledgment {
            write!(out, " ack {position}")?;
        }
        for (index, (from, to)) in self.sack.iter().enumerate() {
            write!(out, "{}{from}..{to}", if index == 0 { " sack " } else { " " })?;
        }
        Ok(())
    }
}

/// Where the two streams begin on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origins {
    /// Of who sends the segment.
    pub(crate) sender: u32,
    /// Of who gets it.
    pub(crate) receiver: u32,
}

impl Segment {
    /// The packet; every choice must have been made.
    pub(crate) fn packet(&self, from: SocketAddr, to: SocketAddr, origins: Origins) -> Vec<u8> {
        let options = self.options(origins);
        let header_bytes = 20 + options.len();
        let mut bytes = vec![0; header_bytes];
        let mut tcp = TcpPacket::new_unchecked(&mut bytes[..]);
        tcp.set_src_port(from.port());
        tcp.set_dst_port(to.port());
        tcp.set_seq_number(number(origins.sender, self.sequence.unwrap()));
        tcp.clear_flags();
        if let Acknowledges::Position(position) = self.acknowledgment {
            tcp.set_ack(true);
            tcp.set_ack_number(number(origins.receiver, position));
        }
        tcp.set_header_len(header_bytes.try_into().unwrap());
        tcp.set_window_len(self.window.unwrap().try_into().unwrap());
        tcp.set_syn(self.syn);
        tcp.set_fin(self.fin);
        tcp.set_rst(self.reset);
        tcp.set_urg(self.urgent);
        tcp.set_ece(self.echo_congestion);
        tcp.set_cwr(self.window_reduced);
        tcp.options_mut().copy_from_slice(&options);
        let start = self.sequence.unwrap();
        bytes.extend((0..i32::try_from(self.payload_bytes).unwrap()).map(|at| byte_at(start + at)));
        TcpPacket::new_unchecked(&mut bytes[..]).fill_checksum(&from.ip().into(), &to.ip().into());
        let ip = IpRepr::new(from.ip().into(), to.ip().into(), IpProtocol::Tcp, bytes.len(), 64);
        let mut packet = vec![0; ip.header_len()];
        ip.emit(&mut packet[..], &ChecksumCapabilities::default());
        let mut header = Ipv4Packet::new_unchecked(&mut packet[..]);
        header.set_ecn(self.ecn);
        header.fill_checksum();
        packet.extend(bytes);
        packet
    }

    fn options(&self, origins: Origins) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(mss) = self.mss {
            bytes.extend([2, 4]);
            bytes.extend(mss.to_be_bytes());
        }
        if let Some(scale) = self.window_scale {
            bytes.extend([3, 3, scale]);
        }
        if self.may_sack {
            bytes.extend([4, 2]);
        }
        if let Some((value, echo)) = self.timestamps {
            bytes.extend([8, 10]);
            bytes.extend(value.to_be_bytes());
            bytes.extend(echo.to_be_bytes());
        }
        if !self.sack.is_empty() {
            bytes.extend([5, u8::try_from(2 + 8 * self.sack.len()).unwrap()]);
            for position in self.sack.iter().flat_map(|(from, to)| [*from, *to]) {
                bytes.extend(number(origins.receiver, position).0.to_be_bytes());
            }
        }
        bytes.resize(bytes.len().next_multiple_of(4), 1);
        bytes
    }

    /// Reads what the stack has sent. Its origin is taken from its SYN, which must come first.
    pub(crate) fn parse(packet: &[u8], origin: &mut Option<u32>, theirs: u32) -> Self {
        let ip = Ipv4Packet::new_checked(packet).unwrap();
        let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
        assert!(tcp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
        let sequence = tcp.seq_number().0.cast_unsigned();
        let origin = *origin.get_or_insert(sequence);
        let mut segment = Self {
            sequence: Some(position(origin, tcp.seq_number())),
            window: Some(tcp.window_len().into()),
            payload_bytes: tcp.payload().len(),
            syn: tcp.syn(),
            fin: tcp.fin(),
            reset: tcp.rst(),
            urgent: tcp.urg(),
            echo_congestion: tcp.ece(),
            window_reduced: tcp.cwr(),
            ecn: ip.ecn(),
            acknowledgment: if tcp.ack() {
                Acknowledges::Position(position(theirs, tcp.ack_number()))
            } else {
                Acknowledges::Nothing
            },
            ..Self::default()
        };
        segment.parse_options(tcp.options(), theirs);
        segment
    }

    fn parse_options(&mut self, mut rest: &[u8], theirs: u32) {
        while let [kind, after @ ..] = rest {
            if *kind == 1 {
                rest = after;
                continue;
            }
            let length = usize::from(after[0]);
            let words: Vec<u32> = rest[2..length]
                .chunks_exact(4)
                .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
                .collect();
            match kind {
                2 => self.mss = Some(u16::from_be_bytes([rest[2], rest[3]])),
                3 => self.window_scale = Some(rest[2]),
                4 => self.may_sack = true,
                5 => {
                    let number = |word: u32| position(theirs, TcpSeqNumber(word.cast_signed()));
                    self.sack = words
                        .chunks_exact(2)
                        .map(|pair| (number(pair[0]), number(pair[1])))
                        .collect();
                }
                8 => self.timestamps = Some((words[0], words[1])),
                // Boot ids, which the peers of these scripts do not speak.
                254 => {}
                other => panic!("option {other}"),
            }
            rest = &rest[length..];
        }
    }
}

/// What stands at a position of either stream.
pub(crate) fn byte_at(position: i32) -> u8 {
    (position.wrapping_mul(31) >> 3).to_le_bytes()[0]
}

fn number(origin: u32, position: i32) -> TcpSeqNumber {
    TcpSeqNumber(origin.wrapping_add_signed(position).cast_signed())
}

fn position(origin: u32, number: TcpSeqNumber) -> i32 {
    number.0.cast_unsigned().wrapping_sub(origin).cast_signed()
}
