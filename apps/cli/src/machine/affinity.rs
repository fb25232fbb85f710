//! The CPUs that a thread may run on. They can be read and chosen on Linux only.

#[cfg(target_os = "linux")]
pub(super) use linux::{get, set};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{get, set};

#[cfg(target_os = "linux")]
mod linux {
    use crate::machine::cpu_list::CpuList;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::io;

    /// Returns the CPUs that the calling thread may run on. CPUs that are offline are not among them.
    pub(crate) fn get() -> Option<CpuList> {
        let set = sched_getaffinity(None).ok()?;
        Some((0..=u16::MAX).take(CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu.into())).collect())
    }

    /// Keeps the calling thread on `cpus`.
    pub(crate) fn set(cpus: &CpuList) -> io::Result<()> {
        let mut set = CpuSet::new();
        for cpu in cpus.iter().map(usize::from) {
            if cpu >= CpuSet::MAX_CPU {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            set.set(cpu);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use crate::machine::cpu_list::CpuList;
    use std::io;

    pub(crate) fn get() -> Option<CpuList> {
        None
    }

    pub(crate) fn set(_: &CpuList) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
