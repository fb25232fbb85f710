//! The machine that the program runs on: CPUs, clocks, temperatures, memory.

pub(crate) mod allocations;
pub(crate) mod board;
pub(crate) mod clock;
pub(crate) mod cpus;
pub(crate) mod memory;
pub(crate) mod sysfs;
