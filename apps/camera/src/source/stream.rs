//! Reads bytes from a pipe or a file, with a timeout.

use crate::stop::{Stop, TICK};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// An open file, pipe or device.
#[derive(Debug)]
pub struct Input {
    fd: OwnedFd,
    timeout: Duration,
    stop: Stop,
}

impl Input {
    /// Reads from `fd`. A read fails after `timeout` without a byte, and ends soon after `stop` is set.
    pub fn new(fd: OwnedFd, timeout: Duration, stop: Stop) -> Self {
        Self { fd, timeout, stop }
    }
}

impl Read for Input {
    /// Reads as from a file, but fails with [`io::ErrorKind::TimedOut`] if no byte arrives in time. After a stop the file ends.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let start = Instant::now();
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        loop {
            if self.stop.is_set() {
                return Ok(0);
            }
            match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&tick)) {
                Ok(0) | Err(Errno::INTR) => {}
                // After `poll`, a read does not wait even on a blocking descriptor.
                Ok(_) => match rustix::io::read(&self.fd, &mut *out) {
                    Ok(read) => return Ok(read),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                },
                Err(error) => return Err(error.into()),
            }
            if start.elapsed() >= self.timeout {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// A reader with lookahead.
#[derive(Debug)]
pub struct Stream<R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// Bytes of the buffer: the capacity of a pipe.
const BUFFER: usize = 64 << 10;

impl<R: Read> Stream<R> {
    /// Starts to read from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; BUFFER].into(), start: 0, end: 0 }
    }

    /// Returns the next `len` bytes without taking them, or fewer at the end. `len` is at most a few kilobytes.
    pub(super) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        debug_assert!(len <= BUFFER);
        if BUFFER - self.start < len {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < len {
            match self.reader.read(&mut self.buffer[self.end..])? {
                0 => break,
                read => self.end += read,
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + len)])
    }

    /// Returns what has been read and not taken.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Fills `out`. Returns the number of bytes, which is less than the length of `out` at the end of the stream.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.read(&mut out[done..])? {
                0 => break,
                read => done += read,
            }
        }
        Ok(done)
    }
}

impl<R: Read> BufRead for Stream<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = self.reader.read(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.end);
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // A large read bypasses the buffer.
        if self.start == self.end && out.len() >= BUFFER {
            return self.reader.read(out);
        }
        let buffered = self.fill_buf()?;
        let len = buffered.len().min(out.len());
        out[..len].copy_from_slice(&buffered[..len]);
        self.consume(len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Returns one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let len = self.0.len().min(out.len()).min(1);
            out[..len].copy_from_slice(self.0.split_off(..len).unwrap());
            Ok(len)
        }
    }

    #[test]
    fn what_was_looked_at_is_still_read() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i / 7) as u8).collect();
        let mut stream = Stream::new(Drops(&bytes));
        assert_eq!(stream.peek(10).unwrap(), &bytes[..10]);
        assert_eq!(stream.peek(20).unwrap(), &bytes[..20]);
        let mut most = vec![0; 190_000];
        assert_eq!(stream.fill(&mut most).unwrap(), most.len());
        assert_eq!(most, bytes[..most.len()]);
        assert_eq!(stream.peek(4000).unwrap(), &bytes[most.len()..][..4000]);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, bytes[most.len()..]);
        assert_eq!(stream.peek(1).unwrap(), b"");
    }

    #[test]
    fn a_silent_pipe_times_out() {
        let (reader, mut writer) = io::pipe().unwrap();
        let timeout = Duration::from_millis(120);
        let mut input = Input::new(reader.into(), timeout, Stop::default());
        writer.write_all(b"ab").unwrap();
        let mut out = [0; 8];
        assert_eq!(input.read(&mut out).unwrap(), 2);
        let start = Instant::now();
        assert_eq!(input.read(&mut out).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= timeout);
        drop(writer);
        assert_eq!(input.read(&mut out).unwrap(), 0, "a closed one ends");
    }

    #[test]
    fn stopping_ends_the_wait() {
        let (reader, _writer) = io::pipe().unwrap();
        let stop = Stop::default();
        let mut input = Input::new(reader.into(), Duration::from_secs(100), stop.clone());
        std::thread::scope(|scope| {
            let read = scope.spawn(move || input.read(&mut [0; 8]).unwrap());
            std::thread::sleep(Duration::from_millis(20));
            stop.set();
            assert_eq!(read.join().unwrap(), 0);
        });
    }
}
