//! The outcomes of an evaluation on disk.
//!
//! An interrupted evaluation resumes from its journal. The journal also holds fp32 logits until they are
//! [recorded](crate::record), so that they need no memory.
//!
//! A journal has a header that identifies the evaluation, and entries of equal size. Each entry has a checksum, which reveals
//! an entry that was not written to its end. Such an entry and all entries after it are dropped.

use crate::identity::Identity;
use crate::noise::Noise;
use crate::outcome::{Answer, Original, Outcome, Prediction, TOP};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{F32, F64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const MAGIC: [u8; 8] = *b"\x89RNJ\r\n\x1a\n";
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U32,
    /// Number of fp32 logits that follow each entry, or 0.
    logits: U32,
    identity: U64,
}

#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Entry {
    image: U32,
    /// Numbers of predictions of int8's answer and of fp32's.
    lengths: [u8; 2],
    compared: u8,
    reserved: u8,
    pixels: U64,
    classes: [[U32; TOP]; 2],
    probabilities: [[F32; TOP]; 2],
    kl: F64,
    signal: F64,
    noise: F64,
}

/// Why a journal cannot be used. Displays as one line that begins with the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{}: cannot be read or written ({source}); give a file on a disk with room", .path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path is that of a directory, a pipe or a device.
    #[error("{}: is not a regular file; give a file that does not exist yet", .0.display())]
    NotAFile(PathBuf),
    /// The file is no journal.
    #[error("{}: is not a journal of an evaluation; give a file that does not exist yet", .0.display())]
    NotAJournal(PathBuf),
    /// The journal belongs to another evaluation.
    #[error(
        "{}: is the journal of another evaluation (another model, baseline, list of images or options); repeat that \
         evaluation, or delete the file to start over",
        .0.display()
    )]
    Other(PathBuf),
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    logits: usize,
    done: Vec<Outcome>,
}

impl Journal {
    /// Opens the journal at `path`, or creates it. It belongs to the evaluation that `identity` identifies, and keeps `logits`
    /// fp32 logits for each image.
    ///
    /// # Errors
    ///
    /// Returns an error if the file belongs to another evaluation, is no journal, or cannot be read or written.
    pub fn open(path: &Path, identity: Identity, logits: usize) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        // The kind comes first, because to open a named pipe may wait for another program.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(JournalError::NotAFile(path.to_owned()));
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        Self::resume(path, file, identity, logits)
    }

    /// Creates a journal in a file without a name, to hold `logits` fp32 logits for each image until they are recorded.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub fn anonymous(file: File, logits: usize) -> Result<Self, JournalError> {
        Self::resume(Path::new("temporary file"), file, Identity(0), logits)
    }

    fn resume(path: &Path, mut file: File, identity: Identity, logits: usize) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        let expected = Header {
            magic: MAGIC,
            version: VERSION.into(),
            logits: (logits as u32).into(),
            identity: identity.0.into(),
        };
        let mut reader = BufReader::new(&mut file);
        let mut header = Vec::new();
        (&mut reader).take(size_of::<Header>() as u64).read_to_end(&mut header).map_err(failed)?;
        let mut done = Vec::new();
        let mut sound = size_of::<Header>() as u64;
        if header == expected.as_bytes() {
            let mut entry = vec![0; entry_len(logits)];
            // A failed read ends the journal like an incomplete entry. At worst some images are evaluated again.
            while reader.read_exact(&mut entry).is_ok() {
                let Some(outcome) = decode(&entry) else { break };
                done.push(outcome);
                sound += entry.len() as u64;
            }
        } else if expected.as_bytes().starts_with(&header) {
            // The file is new, or writing its header was interrupted.
            file.rewind().and_then(|()| file.write_all(expected.as_bytes())).map_err(failed)?;
        } else if header.starts_with(&MAGIC) {
            return Err(JournalError::Other(path.to_owned()));
        } else {
            return Err(JournalError::NotAJournal(path.to_owned()));
        }
        file.set_len(sound).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), logits, done })
    }

    /// Returns the outcomes that the journal held when it was opened.
    pub fn done(&self) -> &[Outcome] {
        &self.done
    }

    /// Adds the outcome of an image, and as many fp32 `logits` as the journal keeps.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub fn add(&self, outcome: &Outcome, logits: &[f32]) -> Result<(), JournalError> {
        let entry = encode(outcome, if self.logits > 0 { logits } else { &[] });
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A single write, so that a crash or another process sees whole entries.
        file.write_all(&entry).map_err(|source| self.failed(source))
    }

    /// Returns the number of images in the journal.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub fn len(&self) -> Result<usize, JournalError> {
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let end = file.seek(SeekFrom::End(0)).map_err(|source| self.failed(source))?;
        Ok((end.saturating_sub(size_of::<Header>() as u64) / entry_len(self.logits) as u64) as usize)
    }

    /// Returns whether the journal has no image.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub fn is_empty(&self) -> Result<bool, JournalError> {
        Ok(self.len()? == 0)
    }

    /// Returns entry `index`: the outcome and the little-endian fp32 logits of an image.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or has been changed.
    pub(crate) fn entry(&self, index: usize) -> Result<(Outcome, Vec<u8>), JournalError> {
        let mut entry = vec![0; entry_len(self.logits)];
        let at = size_of::<Header>() as u64 + index as u64 * entry.len() as u64;
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut entry));
        // New entries go to the end.
        read.and_then(|()| file.seek(SeekFrom::End(0))).map_err(|source| self.failed(source))?;
        let outcome = decode(&entry).ok_or_else(|| {
            self.failed(io::Error::new(io::ErrorKind::InvalidData, "an entry has been damaged"))
        })?;
        Ok((outcome, entry[size_of::<Entry>()..][..4 * self.logits].to_vec()))
    }

    fn failed(&self, source: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), source }
    }
}

fn entry_len(logits: usize) -> usize {
    size_of::<Entry>() + 4 * logits + size_of::<u64>()
}

fn encode(outcome: &Outcome, logits: &[f32]) -> Vec<u8> {
    let original = outcome.fp32.unwrap_or_default();
    let answers = [&outcome.int8, &original.answer].map(Answer::predictions);
    let prediction = |answer: usize, i: usize| answers[answer].get(i).copied().unwrap_or_default();
    let entry = Entry {
        image: (outcome.image as u32).into(),
        lengths: answers.map(|predictions| predictions.len() as u8),
        compared: outcome.fp32.is_some().into(),
        reserved: 0,
        pixels: outcome.pixels.into(),
        classes: [0, 1].map(|a| std::array::from_fn(|i| (prediction(a, i).class as u32).into())),
        probabilities: [0, 1].map(|a| std::array::from_fn(|i| prediction(a, i).probability.into())),
        kl: original.kl.into(),
        signal: original.noise.signal.into(),
        noise: original.noise.noise.into(),
    };
    let mut bytes = entry.as_bytes().to_vec();
    bytes.extend(logits.iter().flat_map(|logit| logit.to_le_bytes()));
    let checksum = xxh3_64(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

/// Decodes an entry. Returns `None` if it is damaged.
fn decode(bytes: &[u8]) -> Option<Outcome> {
    let (content, checksum) = bytes.split_last_chunk()?;
    if xxh3_64(content) != u64::from_le_bytes(*checksum) {
        return None;
    }
    let (entry, _) = Entry::ref_from_prefix(content).ok()?;
    let answer = |a: usize| {
        let predictions = entry.classes[a].iter().zip(&entry.probabilities[a]);
        let prediction = |(class, probability): (&U32, &F32)| Prediction {
            class: class.get() as usize,
            probability: probability.get(),
        };
        Answer::of(predictions.take(entry.lengths[a].into()).map(prediction))
    };
    Some(Outcome {
        image: entry.image.get() as usize,
        pixels: entry.pixels.get(),
        int8: answer(0),
        fp32: (entry.compared != 0).then(|| Original {
            answer: answer(1),
            kl: entry.kl.get(),
            noise: Noise { signal: entry.signal.get(), noise: entry.noise.get() },
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(image: usize) -> (Outcome, [f32; 3]) {
        let fp32 = [image as f32, 2.0, -1.0];
        (Outcome::new(image, 7 * image as u64, &[1.0, image as f32, 0.5], Some(&fp32)), fp32)
    }

    fn filled(path: &Path, images: usize) {
        let journal = Journal::open(path, Identity(1), 3).unwrap();
        for image in journal.done().len()..images {
            let (outcome, logits) = outcome(image);
            journal.add(&outcome, &logits).unwrap();
        }
    }

    #[test]
    fn what_was_added_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        filled(&path, 2);
        filled(&path, 4);
        let journal = Journal::open(&path, Identity(1), 3).unwrap();
        let expected: Vec<_> = (0..4).map(|image| outcome(image).0).collect();
        assert_eq!(journal.done(), expected);
        assert_eq!(journal.len().unwrap(), 4);
        for image in (0..4).rev() {
            let bytes: Vec<u8> = outcome(image).1.iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(journal.entry(image).unwrap(), (outcome(image).0, bytes));
        }
        let (without, _) = outcome(1);
        let int8_only = Outcome { fp32: None, ..without };
        assert_eq!(decode(&encode(&int8_only, &[])), Some(int8_only));
    }

    /// Cut anywhere, or with any byte changed, a journal keeps the whole entries before that and goes on.
    #[test]
    fn torn_and_damaged_entries_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        filled(&path, 3);
        let whole = std::fs::read(&path).unwrap();
        let entry = entry_len(3);
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let journal = Journal::open(&path, Identity(1), 3).unwrap();
            assert_eq!(journal.done().len(), len.saturating_sub(size_of::<Header>()) / entry, "{len} bytes");
            drop(journal);
            filled(&path, 3);
            assert!(std::fs::read(&path).unwrap() == whole, "{len} bytes");
        }
        for at in size_of::<Header>()..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            let done = Journal::open(&path, Identity(1), 3).unwrap().done().len();
            assert_eq!(done, (at - size_of::<Header>()) / entry, "byte {at}");
        }
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        filled(&path, 1);
        let before = std::fs::read(&path).unwrap();
        for (identity, logits) in [(2, 3), (1, 0)] {
            let error = Journal::open(&path, Identity(identity), logits).unwrap_err();
            assert!(matches!(error, JournalError::Other(_)), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let error = Journal::open(folder.path(), Identity(1), 3).unwrap_err();
        assert!(matches!(error, JournalError::NotAFile(_)), "{error}");
        std::fs::write(&path, b"a letter to somebody").unwrap();
        let error = Journal::open(&path, Identity(1), 3).unwrap_err();
        assert!(matches!(error, JournalError::NotAJournal(_)), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"a letter to somebody");
    }
}
