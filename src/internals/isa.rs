//! Proof that the running CPU has an instruction set extension.
//!
//! Only the function `detect` of a token makes one, so a kernel that takes a token may use the extension.

macro_rules! tokens {
    ($($(#[$doc:meta])* $name:ident: $arch:literal, $detect:ident($($feature:tt),+);)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[cfg(target_arch = $arch)]
        pub struct $name(());

        #[cfg(target_arch = $arch)]
        impl $name {
            /// Returns a token if this CPU has the extension. Without the feature `std`, that is known only of
            /// extensions that the compiler was told to assume (`-C target-feature`).
            #[inline]
            pub fn detect() -> Option<Self> {
                #[cfg(feature = "std")]
                let present = $(std::arch::$detect!($feature))&&+;
                #[cfg(not(feature = "std"))]
                let present = $(cfg!(target_feature = $feature))&&+;
                present.then_some(Self(()))
            }
        }
    )+};
}

tokens! {
    /// AVX2 on x86-64.
    Avx2: "x86_64", is_x86_feature_detected("avx2");
    /// VPDPBUSD on x86-64, encoded for AVX: Alder Lake and later.
    AvxVnni: "x86_64", is_x86_feature_detected("avx2", "avxvnni");
    /// VPDPBUSD on x86-64, encoded for AVX-512: Cascade Lake, Ice Lake, Zen 4 and later.
    Avx512Vnni: "x86_64", is_x86_feature_detected("avx2", "avx512f", "avx512bw", "avx512vl", "avx512vnni");
    /// Advanced SIMD on AArch64: every armv8-a core that runs Linux.
    Neon: "aarch64", is_aarch64_feature_detected("neon");
    /// SDOT on AArch64: Cortex-A55, A75 and later (Raspberry Pi 5, Jetson Orin).
    DotProd: "aarch64", is_aarch64_feature_detected("neon", "dotprod");
    /// SMMLA on AArch64: Cortex-A510, A710, Neoverse V1 and later.
    MatMul: "aarch64", is_aarch64_feature_detected("neon", "dotprod", "i8mm");
}

#[cfg(target_arch = "aarch64")]
impl From<MatMul> for DotProd {
    /// Returns the token of SDOT, which was detected together with SMMLA.
    fn from(_: MatMul) -> Self {
        Self(())
    }
}
