//! The machine that the program runs on: its CPUs, clocks, temperatures and memory.

mod affinity;
#[expect(unsafe_code, reason = "the trait GlobalAlloc is unsafe to implement")]
pub(crate) mod allocations;
pub(crate) mod big_cores;
pub(crate) mod board;
pub(crate) mod clock;
pub(crate) mod conditions;
pub(crate) mod cpu_list;
pub(crate) mod identity;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod placement;
pub(crate) mod signals;
pub(crate) mod sysfs;
