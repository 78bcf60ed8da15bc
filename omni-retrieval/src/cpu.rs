//! The instruction sets that kernels are written for, and which of them this CPU has.
//!
//! The encoder and the index bring the code; each of their kernels gives the same bits on all of them.

use crate::error::{Error, Result};

/// The variable that forces an instruction set, for tests and measurements: `scalar`, `avx2`, `avxvnni`, `avx512` or `neon`.
const VARIABLE: &str = "OMNI_KERNEL";

/// An instruction set that this CPU has. Only this file makes one, so that owning it is the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Set);

/// What code can be chosen by; only sets of this architecture exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// No more than every CPU of this architecture has: the definition of what the others compute.
    Scalar,
    /// AVX2 and FMA: Intel since 2013, AMD since 2015.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2 and VNNI in its encoding: Intel's laptops and small machines since 2021, which have no AVX-512.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX-512 F, BW, VL and VNNI: Intel since 2019, AMD since Zen 4.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON with the dot product: ARM since 2018, Graviton2 and Apple's first.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// The fastest, or the one that the environment forces.
    ///
    /// # Errors
    /// The forced one is not one that this CPU can run.
    pub fn choose() -> Result<Self> {
        match std::env::var(VARIABLE) {
            Ok(name) if !name.trim().is_empty() => Self::forced(name.trim()),
            _ => Ok(Self::available().last().copied().unwrap_or(Self(Set::Scalar))),
        }
    }

    fn forced(name: &str) -> Result<Self> {
        Self::named(name).ok_or_else(|| {
            let names: Vec<_> = Self::available().into_iter().map(Self::name).collect();
            let names = names.join(", ");
            Error::bad_request(format!("`{VARIABLE}`: no kernel \"{name}\" on this CPU; unset it or choose among {names}"))
        })
    }

    /// The one that [`Self::name`] calls so, where this CPU has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::available().into_iter().find(|kernel| kernel.name() == name)
    }

    /// All that this CPU can run, slowest first.
    pub fn available() -> Vec<Self> {
        let mut kernels = vec![Self(Set::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 {
                kernels.push(Self(Set::Avx2));
            }
            if avx2 && is_x86_feature_detected!("avxvnni") {
                kernels.push(Self(Set::AvxVnni));
            }
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                kernels.push(Self(Set::Avx512));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") && std::arch::is_aarch64_feature_detected!("dotprod") {
            kernels.push(Self(Set::Neon));
        }
        kernels
    }

    /// `scalar`, `avx2`, `avxvnni`, `avx512` or `neon`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
        }
    }

    /// Which code to run. Whoever has it may run it.
    pub(crate) fn set(self) -> Set {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_not_there_is_named() {
        let text = Kernel::forced("mmx").unwrap_err().to_string();
        assert!(text.starts_with("`OMNI_KERNEL`: no kernel \"mmx\" on this CPU; unset it or choose among scalar"), "{text}");
    }
}
