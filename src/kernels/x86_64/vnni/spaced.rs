//! The hot loops of AVX-512 VNNI in assembly. The alignment of a loop, its choice of registers, and whether a byte is flipped
//! before or after it is broadcast decide up to a tenth of the time, and the compiler leaves that to chance.
//!
//! They handle windows that begin equally far apart, so that two registers address all of them: `p`, and `q` nine pixels
//! further on. ZMM27 holds an input, ZMM28 to ZMM30 hold weights, and ZMM31 holds the sign bits.

use core::arch::asm;
use core::arch::x86_64::{__m512i, _mm512_set1_epi8};

/// The address of pixel `$pixel`.
#[rustfmt::skip]
macro_rules! at {
    (0) => { "[{p}]" };
    (1) => { "[{p} + {s}]" };
    (2) => { "[{p} + 2*{s}]" };
    (3) => { "[{p} + {s3}]" };
    (4) => { "[{p} + 4*{s}]" };
    (5) => { "[{p} + {s5}]" };
    (6) => { "[{p} + 2*{s3}]" };
    (7) => { "[{p} + {s7}]" };
    (8) => { "[{p} + 8*{s}]" };
    (9) => { "[{q}]" };
    (10) => { "[{q} + {s}]" };
    (11) => { "[{q} + 2*{s}]" };
    (12) => { "[{q} + {s3}]" };
    (13) => { "[{q} + 4*{s}]" };
    (14) => { "[{q} + {s5}]" };
    (15) => { "[{q} + 2*{s3}]" };
}

/// The products of one pixel. The unsigned operand has its sign bits flipped.
macro_rules! dot {
    (weights_unsigned $acc:ident $pixel:tt) => {
        concat!("vpdpbusd {", stringify!($acc), "}, zmm28, dword ptr ", at!($pixel), "{{1to16}}\n")
    };
    (inputs_unsigned $acc:ident $pixel:tt) => {
        concat!(input!(four $pixel), product!($acc "zmm28"))
    };
}

/// Loads input `$pixel` and flips its sign bits. All lanes get the same four bytes, or each group of four lanes gets 16.
macro_rules! input {
    (four $pixel:tt) => {
        concat!("vpxord zmm27, zmm31, dword ptr ", at!($pixel), "{{1to16}}\n")
    };
    (sixteen $pixel:tt) => {
        concat!("vbroadcasti32x4 zmm27, xmmword ptr ", at!($pixel), "\nvpxord zmm27, zmm27, zmm31\n")
    };
}

macro_rules! product {
    ($acc:ident $weights:literal) => {
        concat!("vpdpbusd {", stringify!($acc), "}, zmm27, ", $weights, "\n")
    };
}

/// Three taps in a row of the image. The input at a column serves the three pixels whose windows have it on the left, in the
/// middle and on the right. The two columns beyond the last pixel follow after the semicolon.
macro_rules! columns {
    ($width:ident $x:ident $i:tt $($rest:tt)+) => {
        concat!(input!($width $i), product!($x "zmm28"), columns!(@ $width $x, $($rest)+))
    };
    (@ $width:ident $a:ident, $x:ident $i:tt $($rest:tt)+) => {
        concat!(
            input!($width $i), product!($a "zmm29"), product!($x "zmm28"),
            columns!(@ $width $a $x, $($rest)+)
        )
    };
    (@ $width:ident $a:ident $b:ident, $x:ident $i:tt $($rest:tt)+) => {
        concat!(
            input!($width $i), product!($a "zmm30"), product!($b "zmm29"), product!($x "zmm28"),
            columns!(@ $width $b $x, $($rest)+)
        )
    };
    (@ $width:ident $a:ident $b:ident, ; $i:tt $j:tt) => {
        concat!(input!($width $i), product!($a "zmm30"), product!($b "zmm29"), input!($width $j), product!($b "zmm30"))
    };
}

/// One loop. `$start` loads the weights, `$body` reads the inputs of some pixels, and the accumulators follow.
macro_rules! steps {
    ($operands:ident, $start:expr, $body:expr, $($acc:ident $pixel:tt)+) => {{
        let Operands { acc, window, pitch, w, tap, k_groups, ahead } = $operands;
        asm!(
            ".p2align 6",
            "2:",
            $start,
            $body,
            "add {p}, 4",
            "add {q}, 4",
            "add {w}, 64",
            "add {ahead}, 64",
            "dec {k}",
            "jnz 2b",
            "/* {s} {s3} {s5} {s7} {tap} */",
            $($acc = inout(zmm_reg) *acc.add($pixel),)+
            p = inout(reg) window => _,
            q = inout(reg) window.wrapping_add(9 * pitch) => _,
            s = in(reg) pitch,
            s3 = in(reg) 3 * pitch,
            s5 = in(reg) 5 * pitch,
            s7 = in(reg) 7 * pitch,
            w = inout(reg) w => _,
            tap = in(reg) tap,
            ahead = inout(reg) ahead => _,
            k = inout(reg) k_groups => _,
            out("zmm27") _,
            out("zmm28") _,
            out("zmm29") _,
            out("zmm30") _,
            in("zmm31") _mm512_set1_epi8(i8::MIN),
            options(readonly, nostack)
        )
    }};
}

/// The operands of a loop.
pub(super) struct Operands {
    /// The accumulators, one per pixel.
    pub(super) acc: *mut __m512i,
    /// The first byte of the first pixel.
    pub(super) window: *const i8,
    /// The distance between two pixels in bytes.
    pub(super) pitch: usize,
    /// The units of weights.
    pub(super) w: *const i8,
    /// The distance between the weights of two taps in bytes, where there are several.
    pub(super) tap: usize,
    /// The number of iterations. Each reads the next four bytes and the next unit.
    pub(super) k_groups: usize,
    /// The address to prefetch from, as many bytes as are read of weights.
    pub(super) ahead: *const i8,
}

/// Expands `$arm` for `$pixels` accumulators, with their names and numbers.
macro_rules! with_pixels {
    ($pixels:expr, $arm:ident) => {
        match $pixels {
            1 => $arm!(a0 0; 1 2),
            2 => $arm!(a0 0 a1 1; 2 3),
            3 => $arm!(a0 0 a1 1 a2 2; 3 4),
            4 => $arm!(a0 0 a1 1 a2 2 a3 3; 4 5),
            5 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4; 5 6),
            6 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5; 6 7),
            7 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5 a6 6; 7 8),
            8 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5 a6 6 a7 7; 8 9),
            9 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5 a6 6 a7 7 a8 8; 9 10),
            10 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5 a6 6 a7 7 a8 8 a9 9; 10 11),
            11 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5 a6 6 a7 7 a8 8 a9 9 a10 10; 11 12),
            12 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5 a6 6 a7 7 a8 8 a9 9 a10 10 a11 11; 12 13),
            13 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5 a6 6 a7 7 a8 8 a9 9 a10 10 a11 11 a12 12; 13 14),
            14 => $arm!(a0 0 a1 1 a2 2 a3 3 a4 4 a5 5 a6 6 a7 7 a8 8 a9 9 a10 10 a11 11 a12 12 a13 13; 14 15),
            _ => unreachable!("a tile has at most 14 pixels"),
        }
    };
}

/// Adds one tap of `PIXELS` pixels. With `WEIGHTS_UNSIGNED` the sign bits of the weights are flipped, otherwise those of the
/// inputs.
///
/// # Safety
///
/// The CPU has AVX-512 VNNI, the memory that `operands` describes is readable, and there is at least one step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn tap<const PIXELS: usize, const WEIGHTS_UNSIGNED: bool>(operands: Operands) {
    debug_assert!(operands.k_groups > 0);
    macro_rules! arm {
        ($($acc:ident $pixel:tt)+; $_i:tt $_j:tt) => {
            if WEIGHTS_UNSIGNED {
                steps!(
                    operands,
                    "prefetcht1 [{ahead}]\nvpxord zmm28, zmm31, zmmword ptr [{w}]",
                    concat!($(dot!(weights_unsigned $acc $pixel)),+),
                    $($acc $pixel)+
                )
            } else {
                steps!(
                    operands,
                    "prefetcht1 [{ahead}]\nvmovdqu64 zmm28, zmmword ptr [{w}]",
                    concat!($(dot!(inputs_unsigned $acc $pixel)),+),
                    $($acc $pixel)+
                )
            }
        };
    }
    // SAFETY: the assembly reads what the contract grants; each arm handles as many pixels as it says.
    unsafe { with_pixels!(PIXELS, arm) }
}

/// Adds three taps of `PIXELS` ≥ 2 neighbouring pixels, so that the next tap is one pixel further on. The sign bits of the
/// inputs are flipped. A step reads four bytes for all lanes, or with `SIXTEEN` 16 bytes, four for each quarter of the lanes.
///
/// # Safety
///
/// The CPU has AVX-512 VNNI, the memory that `operands` describes is readable for two pixels more, and there is at least one
/// step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn three_taps<const PIXELS: usize, const SIXTEEN: bool>(operands: Operands) {
    debug_assert!(operands.k_groups > 0 && PIXELS > 1);
    macro_rules! arm {
        (a0 0; $_i:tt $_j:tt) => { unreachable!("neighbours are two") };
        ($($acc:ident $pixel:tt)+; $i:tt $j:tt) => {
            if SIXTEEN {
                steps!(operands, weights!(), columns!(sixteen $($acc $pixel)+; $i $j), $($acc $pixel)+)
            } else {
                steps!(operands, weights!(), columns!(four $($acc $pixel)+; $i $j), $($acc $pixel)+)
            }
        };
    }
    macro_rules! weights {
        () => {
            "prefetcht1 [{ahead}]
             prefetcht1 [{ahead} + {tap}]
             prefetcht1 [{ahead} + 2*{tap}]
             vmovdqu64 zmm28, zmmword ptr [{w}]
             vmovdqu64 zmm29, zmmword ptr [{w} + {tap}]
             vmovdqu64 zmm30, zmmword ptr [{w} + 2*{tap}]"
        };
    }
    // SAFETY: as above.
    unsafe { with_pixels!(PIXELS, arm) }
}
