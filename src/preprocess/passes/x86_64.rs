//! The passes on AVX2, with vectors of 16 bytes.

use super::vector::{self, Vector};
use crate::isa::Avx2;
use crate::preprocess::frame::Row;
use crate::preprocess::resample::{Rows, Table};
use crate::preprocess::{Interpolation, opencv, pillow};
use core::arch::x86_64::*;
use zerocopy::native_endian::I32;

pub(super) fn unpack(token: Avx2, row: Row<'_>, out: &mut [u8]) {
    #[target_feature(enable = "avx2")]
    fn with_avx2(v: Xmm, row: Row<'_>, out: &mut [u8]) {
        vector::unpack(v, row, out);
    }
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { with_avx2(Xmm(token), row, out) }
}

pub(super) fn across(
    token: Avx2,
    interpolation: Interpolation,
    lines: &[u8],
    table: &Table<'_>,
    out: &mut [u8],
) {
    #[target_feature(enable = "avx2")]
    fn with_avx2(v: Xmm, interpolation: Interpolation, lines: &[u8], table: &Table<'_>, out: &mut [u8]) {
        vector::across(v, interpolation, lines, table, out);
    }
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { with_avx2(Xmm(token), interpolation, lines, table, out) }
}

pub(super) fn down(
    token: Avx2,
    interpolation: Interpolation,
    rows: &Rows<'_>,
    weights: &[I32],
    out: &mut [u8],
) {
    #[target_feature(enable = "avx2")]
    fn with_avx2(v: Xmm, interpolation: Interpolation, rows: &Rows<'_>, weights: &[I32], out: &mut [u8]) {
        vector::down(v, interpolation, rows, weights, out);
    }
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { with_avx2(Xmm(token), interpolation, rows, weights, out) }
}

/// The lower halves of YMM registers.
#[derive(Clone, Copy)]
struct Xmm(Avx2);

/// Runs intrinsics.
macro_rules! avx2 {
    ($body:expr) => {{
        // SAFETY: the receiver's token proves that the CPU has AVX2; references are as long as what is loaded or
        // stored through them, and the intrinsics used ask for no alignment.
        #[allow(clippy::macro_metavars_in_unsafe, reason = "only the methods below use this")]
        unsafe {
            $body
        }
    }};
}

/// Returns the table that puts the bytes of plane `plane` where [`Vector::store_interleaved`] wants them in vector `vector`.
const fn interleave(vector: usize, plane: usize) -> [u8; 16] {
    let mut table = [0xff; 16];
    let mut i = 0;
    while i < 16 {
        let at = 16 * vector + i;
        if at % 3 == plane {
            table[i] = (at / 3) as u8;
        }
        i += 1;
    }
    table
}

impl Vector for Xmm {
    type Bytes = __m128i;
    type Words = __m128i;
    type Ints = __m128i;

    #[inline(always)]
    fn load(self, bytes: &[u8; 16]) -> __m128i {
        avx2!(_mm_loadu_si128(bytes.as_ptr().cast()))
    }

    #[inline(always)]
    fn load_half(self, bytes: &[u8; 8]) -> __m128i {
        avx2!(_mm_loadl_epi64(bytes.as_ptr().cast()))
    }

    #[inline(always)]
    fn load_words(self, bytes: &[u8; 16]) -> __m128i {
        self.load(bytes)
    }

    #[inline(always)]
    fn load_ints(self, ints: &[I32; 4]) -> __m128i {
        avx2!(_mm_loadu_si128(ints.as_ptr().cast()))
    }

    #[inline(always)]
    fn load_two_ints(self, ints: &[I32; 2]) -> __m128i {
        avx2!(_mm_loadl_epi64(ints.as_ptr().cast()))
    }

    #[inline(always)]
    fn store(self, bytes: __m128i, out: &mut [u8; 16]) {
        avx2!(_mm_storeu_si128(out.as_mut_ptr().cast(), bytes));
    }

    #[inline(always)]
    fn store_quarter<const PART: i32>(self, bytes: __m128i, out: &mut [u8; 4]) {
        *out = avx2!(_mm_extract_epi32::<PART>(bytes)).to_ne_bytes();
    }

    #[inline(always)]
    fn store_half_words<const PART: i32>(self, words: __m128i, out: &mut [u8; 8]) {
        *out = avx2!(_mm_extract_epi64::<PART>(words)).to_ne_bytes();
    }

    #[inline(always)]
    fn store_interleaved(self, [a, b, c]: [__m128i; 3], out: &mut [u8; 48]) {
        const TABLES: [[[u8; 16]; 3]; 3] = [
            [interleave(0, 0), interleave(0, 1), interleave(0, 2)],
            [interleave(1, 0), interleave(1, 1), interleave(1, 2)],
            [interleave(2, 0), interleave(2, 1), interleave(2, 2)],
        ];
        for (out, [ta, tb, tc]) in out.as_chunks_mut().0.iter_mut().zip(&TABLES) {
            let (a, b) = (self.lookup(a, self.load(ta)), self.lookup(b, self.load(tb)));
            let c = self.lookup(c, self.load(tc));
            self.store(avx2!(_mm_or_si128(_mm_or_si128(a, b), c)), out);
        }
    }

    #[inline(always)]
    fn splat_words(self, value: i16) -> __m128i {
        avx2!(_mm_set1_epi16(value))
    }

    #[inline(always)]
    fn splat_ints(self, value: i32) -> __m128i {
        avx2!(_mm_set1_epi32(value))
    }

    #[inline(always)]
    fn lookup(self, bytes: __m128i, table: __m128i) -> __m128i {
        avx2!(_mm_shuffle_epi8(bytes, table))
    }

    #[inline(always)]
    fn spread(self, bytes: __m128i, table: __m128i) -> __m128i {
        self.lookup(bytes, table)
    }

    #[inline(always)]
    fn widen(self, bytes: __m128i) -> [__m128i; 2] {
        avx2!([_mm_unpacklo_epi8(bytes, _mm_setzero_si128()), _mm_unpackhi_epi8(bytes, _mm_setzero_si128()),])
    }

    #[inline(always)]
    fn even_bytes(self, [a, b]: [__m128i; 2]) -> [__m128i; 2] {
        let mask = self.splat_words(0x00ff);
        avx2!([_mm_and_si128(a, mask), _mm_and_si128(b, mask)])
    }

    #[inline(always)]
    fn odd_bytes(self, [a, b]: [__m128i; 2]) -> __m128i {
        avx2!(_mm_packus_epi16(_mm_srli_epi16::<8>(a), _mm_srli_epi16::<8>(b)))
    }

    #[inline(always)]
    fn split_high(self, pairs: __m128i) -> [__m128i; 2] {
        let low = self.splat_words(0x00ff);
        avx2!([_mm_slli_epi16::<8>(pairs), _mm_andnot_si128(low, pairs)])
    }

    #[inline(always)]
    fn widen_high(self, bytes: &[u8; 8]) -> __m128i {
        let bytes = self.load_half(bytes);
        avx2!(_mm_unpacklo_epi8(_mm_setzero_si128(), bytes))
    }

    #[inline(always)]
    fn double(self, words: __m128i) -> [__m128i; 2] {
        avx2!([_mm_unpacklo_epi16(words, words), _mm_unpackhi_epi16(words, words)])
    }

    #[inline(always)]
    fn xor(self, a: __m128i, b: __m128i) -> __m128i {
        avx2!(_mm_xor_si128(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m128i, b: __m128i) -> __m128i {
        avx2!(_mm_sub_epi16(a, b))
    }

    #[inline(always)]
    fn add(self, a: __m128i, b: __m128i) -> __m128i {
        avx2!(_mm_adds_epi16(a, b))
    }

    #[inline(always)]
    fn shl7(self, words: __m128i) -> __m128i {
        avx2!(_mm_slli_epi16::<7>(words))
    }

    #[inline(always)]
    fn multiply_round(self, a: __m128i, b: __m128i) -> __m128i {
        avx2!(_mm_mulhrs_epi16(a, b))
    }

    #[inline(always)]
    fn multiply_high(self, a: __m128i, b: __m128i) -> __m128i {
        avx2!(_mm_mulhi_epi16(a, b))
    }

    #[inline(always)]
    fn narrow<const SHIFT: i32>(self, [a, b]: [__m128i; 2]) -> __m128i {
        let half = self.splat_words(1 << (SHIFT - 1));
        avx2!({
            let a = _mm_srai_epi16::<SHIFT>(_mm_adds_epi16(a, half));
            let b = _mm_srai_epi16::<SHIFT>(_mm_adds_epi16(b, half));
            _mm_packus_epi16(a, b)
        })
    }

    #[inline(always)]
    fn multiply_add<const LANE: i32>(self, sum: __m128i, a: __m128i, b: __m128i) -> __m128i {
        avx2!({
            let b = match LANE {
                0 => _mm_shuffle_epi32::<0b00_00_00_00>(b),
                1 => _mm_shuffle_epi32::<0b01_01_01_01>(b),
                2 => _mm_shuffle_epi32::<0b10_10_10_10>(b),
                _ => _mm_shuffle_epi32::<0b11_11_11_11>(b),
            };
            _mm_add_epi32(sum, _mm_mullo_epi32(a, b))
        })
    }

    #[inline(always)]
    fn to_bytes(self, [a, b, c, d]: [__m128i; 4]) -> __m128i {
        const SHIFT: i32 = pillow::FRACTION as i32;
        avx2!({
            let ab = _mm_packs_epi32(_mm_srai_epi32::<SHIFT>(a), _mm_srai_epi32::<SHIFT>(b));
            let cd = _mm_packs_epi32(_mm_srai_epi32::<SHIFT>(c), _mm_srai_epi32::<SHIFT>(d));
            _mm_packus_epi16(ab, cd)
        })
    }

    #[inline(always)]
    fn to_samples(self, [a, b]: [__m128i; 2]) -> __m128i {
        const SHIFT: i32 = opencv::ACROSS_SHIFT as i32;
        avx2!(_mm_packs_epi32(_mm_srai_epi32::<SHIFT>(a), _mm_srai_epi32::<SHIFT>(b)))
    }
}
