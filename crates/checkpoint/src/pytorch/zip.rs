//! The zip format, since PyTorch 1.6: the pickle `archive/data.pkl`, and each storage as the uncompressed entry
//! `archive/data/KEY`.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use rawzip::{CompressionMethod, ZipArchiveEntryWayfinder, ZipLocator, ZipSliceArchive, ZipSliceEntry};

use crate::error::FileError;
use crate::pickle::{self, Pickle};
use crate::rebuild::Storages;

/// How far from the end of the file the search for the directory goes: the longest comment, and some garbage.
const MAX_TRAILER: u64 = 1 << 17;

/// Finds the pickle of the saved object and its storages.
pub(super) fn open(bytes: &[u8]) -> Result<(Pickle<'_>, Storages), FileError> {
    let archive = Archive::new(bytes)?;
    let pickle = archive.pickle(bytes)?;
    if archive.entry("byteorder")?.is_some_and(|entry| entry.data() == b"big") {
        return Err(FileError::big_endian());
    }
    let mut storages = Storages::new();
    for name in archive.entries.keys() {
        if let Some(key) = name.strip_prefix("data/")
            && let Some(entry) = archive.entry(name)?
        {
            storages.insert(key.to_owned(), range(&entry)?);
        }
    }
    Ok((pickle, storages))
}

struct Archive<'a> {
    zip: ZipSliceArchive<&'a [u8]>,
    /// The entries in the folder of `data.pkl`, by name.
    entries: HashMap<String, (ZipArchiveEntryWayfinder, CompressionMethod)>,
}

impl<'a> Archive<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, FileError> {
        let locator = ZipLocator::new().max_search_space(MAX_TRAILER);
        let zip = locator.locate_in_slice(bytes).map_err(|(_, error)| corrupt(error))?;
        let mut all = HashMap::new();
        let mut listed = zip.entries();
        while let Some(entry) = listed.next_entry().map_err(corrupt)? {
            if let Ok(name) = std::str::from_utf8(entry.file_path().as_bytes()) {
                all.insert(name, (entry.wayfinder(), entry.compression_method()));
            }
        }
        // The folder has the name of the file, or is called `archive`.
        let directories = all.keys().filter_map(|name| name.strip_suffix("data.pkl"));
        let root =
            directories.filter(|root| root.is_empty() || root.ends_with('/')).min_by_key(|root| root.len());
        let Some(root) = root else {
            return Err(other_archive(all.keys().copied()));
        };
        let inside =
            all.iter().filter_map(|(name, &entry)| Some((name.strip_prefix(root)?.to_owned(), entry)));
        let entries: HashMap<_, _> = inside.collect();
        if entries.contains_key("constants.pkl") {
            return Err(FileError::other(
                "it is a TorchScript program, not a checkpoint",
                "load it with torch.jit.load and save model.state_dict() with torch.save",
            ));
        }
        Ok(Self { zip, entries })
    }

    /// Returns the entry called `name`, which must not be compressed.
    fn entry(&self, name: &str) -> Result<Option<ZipSliceEntry<'_>>, FileError> {
        let Some(&(wayfinder, method)) = self.entries.get(name) else {
            return Ok(None);
        };
        if method != CompressionMethod::STORE
            || wayfinder.compressed_size_hint() != wayfinder.uncompressed_size_hint()
        {
            return Err(FileError::other(
                format!("its entry `{}` is compressed", name.escape_debug()),
                "load it with torch.load and save it again with torch.save",
            ));
        }
        self.zip.get_entry(wayfinder).map(Some).map_err(corrupt)
    }

    /// Reads the pickle and verifies its checksum. Those of the storages are not verified: that would read the whole file.
    fn pickle(&self, bytes: &'a [u8]) -> Result<Pickle<'a>, FileError> {
        let entry = self.entry("data.pkl")?.ok_or_else(|| corrupt("it has no data.pkl"))?;
        io::copy(&mut entry.verifying_reader(entry.data()), &mut io::sink()).map_err(corrupt)?;
        let Range { start, end } = range(&entry)?;
        let (pickle, _) = pickle::load(&bytes[..end], start).map_err(corrupt)?;
        Ok(pickle)
    }
}

/// Returns the error for an archive without `data.pkl`, which files of these `names` tell.
fn other_archive<'a>(names: impl Iterator<Item = &'a str>) -> FileError {
    const EXPORTED: (&str, &str) = (
        "it is a program of torch.export (.pt2), not a checkpoint",
        "load it with torch.export.load and save program.state_dict with torch.save",
    );
    const KINDS: [(&str, (&str, &str)); 6] = [
        ("serialized_exported_program.json", EXPORTED),
        ("archive_format", EXPORTED),
        ("models/model.json", EXPORTED),
        ("model.weights.h5", ("it is a Keras model", "give weights of PyTorch or Paddle, or an ONNX file")),
        (
            "MAR-INF/MANIFEST.json",
            ("it is an archive of TorchServe", "unpack it and give the weights inside"),
        ),
        (".npy", ("it holds NumPy arrays (.npz)", "save them with torch.save or safetensors")),
    ];
    let names: Vec<&str> = names.collect();
    let found = KINDS.iter().find(|(end, _)| names.iter().any(|name| name.ends_with(end)));
    let (what, remedy) = found.map_or(
        (
            "it is a zip archive, but not one of PyTorch: it has no data.pkl",
            "unpack it if the checkpoint is inside",
        ),
        |&(_, kind)| kind,
    );
    FileError::other(what, remedy)
}

/// Returns where the bytes of an entry lie in the file.
fn range(entry: &ZipSliceEntry<'_>) -> Result<Range<usize>, FileError> {
    let (start, end) = entry.compressed_data_range();
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(start..end),
        _ => Err(corrupt("an entry lies beyond its end")),
    }
}

fn corrupt(reason: impl std::fmt::Display) -> FileError {
    FileError::corrupt("PyTorch", reason)
}
