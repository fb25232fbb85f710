//! Scans: the entropy-coded data of a JPEG (ITU-T T.81, annexes F.2 and G.2).

use super::damaged;
use super::frame::{Block, Component, Frame};
use super::huffman::{Bits, HuffmanTable};
use super::idct;
use super::segments::{Segments, Tables, ZIGZAG};
use crate::DecodeError;

/// The most blocks in an MCU of several components.
const MAX_MCU_BLOCKS: usize = 10;

/// The contents of a start of scan.
struct Scan<'t> {
    parts: Vec<Part<'t>>,
    /// The band of coefficients, in zigzag order.
    band: [usize; 2],
    /// How many bits of the coefficients the scans before had left, or 0 if this is the first.
    high: u8,
    /// How many bits this scan leaves.
    low: u8,
}

/// A component in a scan.
struct Part<'t> {
    component: usize,
    dc: Option<&'t HuffmanTable>,
    ac: Option<&'t HuffmanTable>,
}

/// What blocks depend on, beside their own bits. A restart clears it.
#[derive(Default)]
struct State {
    /// The DC coefficient of the last block, for each component of the scan.
    dc: [i32; 4],
    /// How many blocks have no further coefficients.
    end_of_band: u32,
}

/// Decodes a scan into `frame`. Moves `segments` behind its data.
pub(super) fn decode(
    frame: &mut Frame,
    header: &[u8],
    tables: &Tables,
    segments: &mut Segments<'_>,
) -> Result<(), DecodeError> {
    let scan = Scan::new(frame, header, tables)?;
    for part in &scan.parts {
        scan.begin(&mut frame.components[part.component], frame.progressive, tables)?;
    }
    let mut bits = Bits::new(segments.rest());
    let [columns, rows] = match &scan.parts[..] {
        [only] => frame.components[only.component].blocks,
        _ => frame.mcus,
    };
    let mut state = State::default();
    let mut until_restart = tables.restart_interval;
    let mut restarts = 0u8;
    for row in 0..rows {
        for column in 0..columns {
            if tables.restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart(restarts & 7)?;
                    restarts = restarts.wrapping_add(1);
                    state = State::default();
                    until_restart = tables.restart_interval;
                }
                until_restart -= 1;
            }
            for (index, part) in scan.parts.iter().enumerate() {
                let component = &mut frame.components[part.component];
                let [across, down] = if scan.parts.len() == 1 { [1, 1] } else { component.factors };
                for y in row * down..(row + 1) * down {
                    for x in column * across..(column + 1) * across {
                        let dc = &mut state.dc[index];
                        if frame.progressive {
                            let block = &mut component.coefficients[y * component.stride + x];
                            scan.refine(&mut bits, part, dc, &mut state.end_of_band, block)?;
                        } else {
                            let block = sequential(&mut bits, part, dc)?;
                            let quantization = component.quantization.as_ref().ok_or_else(no_table)?;
                            let samples = idct::samples(&block, quantization);
                            component.put(x, y, &samples);
                        }
                    }
                }
            }
        }
    }
    segments.skip(bits.read());
    Ok(())
}

fn no_table() -> DecodeError {
    damaged("a table is missing")
}

impl<'t> Scan<'t> {
    fn new(frame: &Frame, header: &[u8], tables: &'t Tables) -> Result<Self, DecodeError> {
        let invalid = || damaged("a scan has an invalid header");
        let (&count, rest) = header.split_first().ok_or_else(invalid)?;
        let (selectors, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(invalid)?;
        let &[start, end, approximation] = rest else { return Err(invalid()) };
        let mut parts: Vec<Part<'t>> = Vec::new();
        for &[id, table] in selectors.as_chunks::<2>().0 {
            // Components may share a number, which libjpeg tells apart by their order. It looks at those that follow.
            let known = frame.components.iter().enumerate().skip(parts.len());
            let (component, _) = known.into_iter().find(|(_, c)| c.id == id).ok_or_else(invalid)?;
            if parts.iter().any(|part| part.component == component) {
                return Err(invalid());
            }
            let table_of =
                |tables: &'t [Option<HuffmanTable>; 4], number: u8| tables.get(usize::from(number));
            let dc = table_of(&tables.dc, table >> 4).ok_or_else(invalid)?.as_ref();
            let ac = table_of(&tables.ac, table & 15).ok_or_else(invalid)?.as_ref();
            parts.push(Part { component, dc, ac });
        }
        let blocks = |part: &Part<'_>| frame.components[part.component].factors.iter().product::<usize>();
        if parts.is_empty() || parts.len() > 1 && parts.iter().map(blocks).sum::<usize>() > MAX_MCU_BLOCKS {
            return Err(invalid());
        }
        let scan = Self {
            parts,
            band: [start, end].map(usize::from),
            high: approximation >> 4,
            low: approximation & 15,
        };
        // libjpeg ignores these parameters in sequential pictures.
        let band = if start == 0 { end == 0 } else { (start..64).contains(&end) && scan.parts.len() == 1 };
        let bits = scan.low <= 13 && (scan.high == 0 || scan.high == scan.low + 1);
        if frame.progressive && !(band && bits) {
            return Err(invalid());
        }
        Ok(scan)
    }

    /// Notes that a component has this scan.
    fn begin(
        &self,
        component: &mut Component,
        progressive: bool,
        tables: &Tables,
    ) -> Result<(), DecodeError> {
        if component.quantization.is_none() {
            let table = tables.quantization.get(component.table).ok_or_else(no_table)?;
            component.quantization = Some(table.ok_or_else(no_table)?);
        } else if !progressive {
            return Err(damaged("a component has two scans"));
        }
        if progressive {
            component.missing_bits[self.band[0]..=self.band[1]].fill(Some(self.low));
        } else {
            component.missing_bits.fill(Some(0));
        }
        Ok(())
    }

    /// Decodes what this scan adds to a block of a progressive picture.
    fn refine(
        &self,
        bits: &mut Bits<'_>,
        part: &Part<'_>,
        dc: &mut i32,
        end_of_band: &mut u32,
        block: &mut Block,
    ) -> Result<(), DecodeError> {
        match (self.band[0], self.high) {
            (0, 0) => {
                *dc = next_dc(bits, part, *dc)?;
                block[0] = (*dc << self.low) as i16;
                Ok(())
            }
            (0, _) => {
                block[0] |= i16::from(bits.bit()?) << self.low;
                Ok(())
            }
            (_, 0) => self.first_ac(bits, part, end_of_band, block),
            (_, _) => self.next_ac(bits, part, end_of_band, block),
        }
    }

    fn first_ac(
        &self,
        bits: &mut Bits<'_>,
        part: &Part<'_>,
        end_of_band: &mut u32,
        block: &mut Block,
    ) -> Result<(), DecodeError> {
        if *end_of_band > 0 {
            *end_of_band -= 1;
            return Ok(());
        }
        if let Some(run) = ac(bits, part, self.band, self.low, block)? {
            *end_of_band = (1 << run) + bits.bits(run)? - 1;
        }
        Ok(())
    }

    fn next_ac(
        &self,
        bits: &mut Bits<'_>,
        part: &Part<'_>,
        end_of_band: &mut u32,
        block: &mut Block,
    ) -> Result<(), DecodeError> {
        let table = part.ac.ok_or_else(no_table)?;
        let one = 1i16 << self.low;
        let [mut at, last] = self.band;
        while *end_of_band == 0 && at <= last {
            let symbol = bits.symbol(table)?;
            let (mut run, size) = (usize::from(symbol >> 4), symbol & 15);
            let mut new = 0;
            match size {
                0 if run < 15 => {
                    *end_of_band = (1 << run) + bits.bits(run as u32)?;
                    break;
                }
                0 => {}
                1 => new = if bits.bit()? { one } else { -one },
                _ => return Err(damaged("a scan has an invalid code")),
            }
            // Passes `run` coefficients that are still zero, and refines the others.
            while at <= last {
                let value = coefficient(block, at)?;
                if *value != 0 {
                    correct(bits, value, one)?;
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                at += 1;
            }
            if new != 0 {
                *coefficient(block, at)? = new;
            }
            at += 1;
        }
        if *end_of_band > 0 {
            while at <= last {
                let value = coefficient(block, at)?;
                if *value != 0 {
                    correct(bits, value, one)?;
                }
                at += 1;
            }
            *end_of_band -= 1;
        }
        Ok(())
    }
}

/// Returns the coefficient at a place in zigzag order.
#[inline]
fn coefficient(block: &mut Block, at: usize) -> Result<&mut i16, DecodeError> {
    let position = ZIGZAG.get(at).ok_or_else(|| damaged("a scan has too many coefficients"))?;
    Ok(&mut block[usize::from(*position & 63)])
}

/// Reads the next bit of a coefficient that is not zero.
fn correct(bits: &mut Bits<'_>, value: &mut i16, one: i16) -> Result<(), DecodeError> {
    if bits.bit()? && *value & one == 0 {
        *value = value.wrapping_add(if *value >= 0 { one } else { -one });
    }
    Ok(())
}

/// Returns the next DC coefficient, which follows `last`.
#[inline]
fn next_dc(bits: &mut Bits<'_>, part: &Part<'_>, last: i32) -> Result<i32, DecodeError> {
    let size = bits.symbol(part.dc.ok_or_else(no_table)?)?;
    if size > 15 {
        return Err(damaged("a scan has an invalid code"));
    }
    let dc = last + bits.number(u32::from(size))?;
    i16::try_from(dc).map_err(|_| damaged("a coefficient is too large"))?;
    Ok(dc)
}

/// Reads the AC coefficients of a band, without their `low` last bits. Returns the run of the code that ends it early, if one does.
#[inline]
fn ac(
    bits: &mut Bits<'_>,
    part: &Part<'_>,
    [mut at, last]: [usize; 2],
    low: u8,
    block: &mut Block,
) -> Result<Option<u32>, DecodeError> {
    let table = part.ac.ok_or_else(no_table)?;
    while at <= last {
        let symbol = bits.symbol(table)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && run < 15 {
            return Ok(Some(run as u32));
        }
        at += run;
        if size > 0 {
            *coefficient(block, at)? = (bits.number(size)? << low) as i16;
        }
        at += 1;
    }
    Ok(None)
}

/// Decodes a block of a sequential picture.
fn sequential(bits: &mut Bits<'_>, part: &Part<'_>, dc: &mut i32) -> Result<Block, DecodeError> {
    let mut block = [0; 64];
    *dc = next_dc(bits, part, *dc)?;
    block[0] = *dc as i16;
    // Whatever its run, such a code ends the block.
    ac(bits, part, [1, 63], 0, &mut block)?;
    Ok(block)
}
