//! Memory that faults where it ends, so that a kernel reading or writing one byte too many stops the test.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Zeroed bytes that end where an inaccessible page starts.
#[derive(Debug)]
pub struct Guarded {
    map: NonNull<u8>,
    map_len: usize,
    start: usize,
    len: usize,
}

// SAFETY: the mapping is private memory owned by this value.
unsafe impl Send for Guarded {}

impl Guarded {
    /// Returns `len` zeros.
    ///
    /// # Panics
    ///
    /// If the system gives no memory.
    pub fn new(len: usize) -> Self {
        // SAFETY: no preconditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page size");
        let usable = len.next_multiple_of(page);
        let map_len = usable + page;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping anywhere.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), map_len, access, kind, -1, 0) };
        assert!(map != libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
        // SAFETY: the last page of the mapping just made.
        let guarded = unsafe { libc::mprotect(map.byte_add(usable), page, libc::PROT_NONE) };
        assert_eq!(guarded, 0, "mprotect: {}", std::io::Error::last_os_error());
        Self { map: NonNull::new(map.cast()).expect("mapped"), map_len, start: usable - len, len }
    }

    /// Returns a copy of `bytes`.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut guarded = Self::new(bytes.len());
        guarded.copy_from_slice(bytes);
        guarded
    }
}

impl Deref for Guarded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start + len` bytes of the mapping are accessible and initialised to zero by the system.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.start), self.len) }
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_ptr().add(self.start), self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, whole.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.map_len) };
    }
}
