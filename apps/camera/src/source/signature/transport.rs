//! The MPEG transport stream (ITU-T H.222.0, section 2.4.3): packets of a fixed length, each with a header of four bytes.

use super::Certainty;

/// The byte with which each packet begins.
const SYNC: u8 = 0x47;

/// Lengths of packets: plain, with a time stamp before each (Blu-ray, AVCHD), and with error correction after each (DVB).
const LENGTHS: [usize; 3] = [188, 192, 204];

/// The least number of packets in sequence that make a transport stream.
const MIN_PACKETS: usize = 3;

/// The most packets that are looked at.
const MAX_PACKETS: usize = 4096;

/// Identifiers of packets that every stream has: its tables, and stuffing.
const USUAL: [u16; 7] = [0x0000, 0x0001, 0x0010, 0x0011, 0x0012, 0x0014, 0x1fff];

/// Returns whether the bytes are packets. Among frames, one of the [`USUAL`] identifiers must be there, and the first packet must
/// begin with the stream.
pub(super) fn is_transport_stream(start: &[u8], certainty: Certainty) -> bool {
    LENGTHS.iter().any(|&length| match certainty {
        Certainty::AmongFrames => [0, length - 188].iter().any(|&first| {
            let mut packets = packets(start, first, length);
            sound(packets.clone()) && packets.any(|packet| USUAL.contains(&identifier(packet)))
        }),
        Certainty::Unreadable => (0..length).any(|first| sound(packets(start, first, length))),
    })
}

/// Returns the headers of the packets of which the first begins at `first`.
fn packets(start: &[u8], first: usize, length: usize) -> impl Iterator<Item = [u8; 4]> + Clone {
    let headers = start.get(first..).unwrap_or_default().chunks(length);
    headers.filter_map(|packet| packet.first_chunk::<4>().copied()).take(MAX_PACKETS)
}

/// Returns whether the first headers are possible ones, and enough of them.
fn sound(packets: impl Iterator<Item = [u8; 4]>) -> bool {
    let mut count = 0;
    for [sync, second, _, fourth] in packets.take(2 * MIN_PACKETS) {
        // No transport error, not scrambled, and a payload or an adaptation field.
        if sync != SYNC || second & 0x80 != 0 || fourth & 0xc0 != 0 || fourth & 0x30 == 0 {
            return false;
        }
        count += 1;
    }
    count >= MIN_PACKETS
}

fn identifier([_, high, low, _]: [u8; 4]) -> u16 {
    u16::from_be_bytes([high & 0x1f, low])
}
