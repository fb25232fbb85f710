//! The named tensors of a checkpoint.

use std::collections::HashMap;

use crate::tensor::StoredTensor;

/// What a [`TensorFile`] has under one name.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Size along each dimension.
    pub shape: Vec<usize>,
    /// The elements, or why they cannot be read as floats.
    pub data: Result<StoredTensor, Unread>,
}

/// Why a tensor cannot be read as floats. Displays as what is wrong, to follow the name of the tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unread {
    /// What is wrong, such as `its element type is int64`.
    pub reason: String,
    /// How to get a tensor that can be read.
    pub remedy: &'static str,
}

impl Unread {
    /// Makes the reason for a tensor of another type.
    pub(crate) fn element(problem: impl Into<String>) -> Self {
        Self { reason: problem.into(), remedy: "give the checkpoint in float32, float16 or bfloat16" }
    }
}

impl From<StoredTensor> for Entry {
    fn from(tensor: StoredTensor) -> Self {
        Self { shape: tensor.shape().to_vec(), data: Ok(tensor) }
    }
}

/// Which of the weights in a file were read, if it has several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The key of the weights that were read, such as `state_dict_ema`; empty if they stand at the top of the file.
    pub taken: String,
    /// The keys of the others; each can be asked for by [`open_with`](crate::open_with).
    pub others: Vec<String>,
}

/// The named tensors of a checkpoint, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct TensorFile {
    entries: Vec<(String, Entry)>,
    index: HashMap<String, usize>,
    pub(crate) choice: Choice,
    pub(crate) facts: Vec<(String, String)>,
}

impl TensorFile {
    /// Adds a tensor. It replaces an earlier tensor of the same name, as in a Python dictionary.
    pub fn insert(&mut self, name: String, entry: impl Into<Entry>) {
        let entry = entry.into();
        match self.index.get(&name) {
            Some(&at) => self.entries[at].1 = entry,
            None => {
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, entry));
            }
        }
    }

    /// Removes the tensor called `name` and returns it.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        let at = self.index.remove(name)?;
        let (_, entry) = self.entries.remove(at);
        self.index.values_mut().filter(|index| **index > at).for_each(|index| *index -= 1);
        Some(entry)
    }

    /// Returns the tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).map(|&at| &self.entries[at].1)
    }

    /// Returns which of several sets of weights these are.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Returns what the file says beside its tensors: dotted keys such as `args.model`, and the numbers, the texts, or the names of
    /// the classes and functions that stand under them. They may be any text, of any length up to 64 KB.
    pub fn facts(&self) -> &[(String, String)] {
        &self.facts
    }

    /// Keeps only the tensors whose names begin with `prefix` and a dot, and removes that from their names. Returns whether there
    /// are any; if there are none, nothing changes.
    pub(crate) fn select(&mut self, prefix: &str) -> bool {
        let start = format!("{}.", prefix.trim_end_matches('.'));
        if !self.names().any(|name| name.starts_with(&start)) {
            return false;
        }
        for (name, entry) in self.take() {
            if let Some(name) = name.strip_prefix(&start) {
                self.insert(name.to_owned(), entry);
            }
        }
        self.choice.taken = prefix.to_owned();
        true
    }

    /// Takes all tensors out.
    pub(crate) fn take(&mut self) -> Vec<(String, Entry)> {
        self.index.clear();
        std::mem::take(&mut self.entries)
    }

    /// Returns all names, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Element;
    use crate::tensor::View;

    #[test]
    fn files_keep_their_order_and_the_last_of_a_name() {
        let tensor = |v: f32| {
            let view = View::contiguous(0..4, Element::F32, vec![1]);
            StoredTensor::new(v.to_le_bytes().to_vec().into(), view).unwrap()
        };
        let mut file = TensorFile::default();
        for (name, value) in [("b", 1.0), ("a", 2.0), ("c", 3.0), ("b", 4.0)] {
            file.insert(name.into(), tensor(value));
        }
        assert_eq!(file.names().collect::<Vec<_>>(), ["b", "a", "c"]);
        let read = |file: &TensorFile, name: &str| file.get(name).map(|e| e.data.clone().unwrap().read()[0]);
        assert_eq!(read(&file, "b"), Some(4.0));
        assert!(file.remove("a").is_some() && file.remove("a").is_none());
        assert_eq!((read(&file, "b"), read(&file, "a"), read(&file, "c")), (Some(4.0), None, Some(3.0)));
    }
}
