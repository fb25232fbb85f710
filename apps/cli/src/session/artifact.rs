//! Model files. They are read into memory of this process, so that nothing that becomes of the file can harm a running
//! program: a model that is copied over the old one, or truncated, would change mapped memory or end the process.

use crate::files::{cannot_read, open_regular};
use crate::terminal::Error;
use memmap2::MmapMut;
use resnext::Model;
use resnext::internals::format::MAGIC;
use resnext::pack::{Packing, repack};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

/// More bytes than any model has: the largest that is published has 829 M weights.
const MAX_LEN: u64 = 4 << 30;

const REMEDY: &str = "give the path of a .rnx model";

/// The content of a `.rnx` file.
pub(crate) struct Artifact {
    path: PathBuf,
    /// Anonymous memory, because its pages are aligned as kernels want their weights.
    bytes: MmapMut,
}

impl Artifact {
    /// Reads the file at `path`. What is no model is not read beyond its first bytes.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::at(path, cannot_read(&error, REMEDY));
        let mut file = open_regular(path, REMEDY)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut magic = Vec::with_capacity(MAGIC.len());
        file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
        // `model` says what is wrong with so few bytes.
        let wanted = if magic == MAGIC { len } else { magic.len() as u64 };
        let Some(wanted) = usize::try_from(wanted).ok().filter(|_| wanted <= MAX_LEN) else {
            return Err(Error::at(path, format_args!("is larger than any model; {REMEDY}")));
        };
        // No system maps nothing.
        let mut bytes = MmapMut::map_anon(wanted.max(1)).map_err(failed)?;
        // Fewer pages are found faster: 2 % of an inference on x86-64. Where there are none, small ones do.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(memmap2::Advice::HugePage);
        file.rewind().and_then(|()| file.read_exact(&mut bytes[..wanted])).map_err(failed)?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// Returns the model with its weights in the order of `packing`. The file itself does not change.
    pub(crate) fn packed(mut self, packing: Packing) -> Result<Self, Error> {
        if Packing::of(&self.bytes).is_some_and(|found| found != packing) {
            repack(&mut self.bytes, packing).map_err(|error| Error::at(&self.path, error))?;
        }
        Ok(self)
    }

    /// Returns the bytes of the artifact, repacked or not.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Validates the whole file and borrows it as a model.
    pub(crate) fn model(&self) -> Result<Model<'_>, Error> {
        Model::from_bytes(self.bytes()).map_err(|error| Error::at(&self.path, error))
    }

    /// Returns the path as the user gave it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
