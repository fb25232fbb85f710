//! Says which VNNI extensions the CPU has, and whether VPDPBUSD computes what plain arithmetic does. To check an emulator:
//! `rustc --edition 2024 -O -C target-feature=+crt-static tests/emulation/vnni.rs -o target/vnni && tests/emulation/bochs target/vnni`

use std::arch::x86_64::*;

type Sums = [i32; 16];

#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn zmm(sums: &mut Sums, unsigned: &[u8; 64], signed: &[i8; 64]) {
    let p = sums.as_mut_ptr().cast();
    let (a, b) = (unsigned.as_ptr().cast(), signed.as_ptr().cast());
    unsafe {
        let sum = _mm512_dpbusd_epi32(_mm512_loadu_si512(p), _mm512_loadu_si512(a), _mm512_loadu_si512(b));
        _mm512_storeu_si512(p, sum);
    }
}

macro_rules! ymm {
    ($name:ident, $features:literal, $instruction:ident) => {
        #[target_feature(enable = $features)]
        unsafe fn $name(sums: &mut Sums, unsigned: &[u8; 64], signed: &[i8; 64]) {
            for i in 0..2 {
                let p = sums[8 * i..].as_mut_ptr().cast();
                let (a, b) = (unsigned[32 * i..].as_ptr().cast(), signed[32 * i..].as_ptr().cast());
                unsafe {
                    let sum =
                        $instruction(_mm256_loadu_si256(p), _mm256_loadu_si256(a), _mm256_loadu_si256(b));
                    _mm256_storeu_si256(p, sum);
                }
            }
        }
    };
}
ymm!(ymm_evex, "avx512f,avx512vl,avx512vnni", _mm256_dpbusd_epi32);
ymm!(ymm_vex, "avxvnni", _mm256_dpbusd_avx_epi32);

fn wrong(kernel: unsafe fn(&mut Sums, &[u8; 64], &[i8; 64])) -> usize {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as i32
    };
    let mut wrong = 0;
    for round in 0..1000 {
        // Products of the extremes do not fit 16 bits, sums of two of them less so.
        let extremes = [0, 1, 127, 128, 255];
        let mut byte = || if round < 500 { random() as u8 } else { extremes[random() as usize % 5] };
        let unsigned: [u8; 64] = std::array::from_fn(|_| byte());
        let signed: [i8; 64] = std::array::from_fn(|_| byte() as i8);
        let start: Sums = std::array::from_fn(|_| random());
        let mut sums = start;
        // SAFETY: the callers pass only kernels whose instructions were detected.
        unsafe { kernel(&mut sums, &unsigned, &signed) };
        for (i, (&sum, &start)) in sums.iter().zip(&start).enumerate() {
            let products = (4 * i..4 * i + 4).map(|k| i32::from(unsigned[k]) * i32::from(signed[k]));
            wrong += usize::from(sum != start.wrapping_add(products.sum()));
        }
    }
    wrong
}

fn main() {
    let avx512 = is_x86_feature_detected!("avx512vnni");
    let mut failed = false;
    for (name, present, kernel) in [
        ("avx512vnni, zmm", avx512, zmm as unsafe fn(&mut Sums, &[u8; 64], &[i8; 64])),
        ("avx512vnni and avx512vl, ymm", avx512 && is_x86_feature_detected!("avx512vl"), ymm_evex),
        ("avxvnni, ymm", is_x86_feature_detected!("avxvnni"), ymm_vex),
    ] {
        if present {
            let wrong = wrong(kernel);
            println!("{name}: {wrong} of 16000 sums wrong");
            failed |= wrong != 0;
        } else {
            println!("{name}: not on this CPU");
        }
    }
    std::process::exit(failed.into());
}
