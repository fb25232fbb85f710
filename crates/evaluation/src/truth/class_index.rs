//! Classes by their names.

use resnext::Model;
use std::collections::HashMap;

/// Finds classes by the names that people write.
#[derive(Debug, Default)]
pub struct ClassIndex {
    by_id: HashMap<String, usize>,
    /// `None` if several classes have the label, such as the two cranes of ImageNet.
    by_label: HashMap<String, Option<usize>>,
    pub(super) count: usize,
    /// The name of the first class.
    pub(super) example: String,
}

impl ClassIndex {
    /// Indexes the classes of `model`.
    pub fn new(model: &Model<'_>) -> Self {
        let names = (0..model.class_count()).map(|class| model.class(class));
        Self::of(names.map(|names| names.map_or(("", ""), |names| (names.id, names.label))))
    }

    /// Indexes classes by these identifiers and labels, in the order of the classes.
    pub fn of<'a>(names: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut index = Self::default();
        for (class, (id, label)) in names.into_iter().enumerate() {
            if !id.is_empty() {
                index.by_id.insert(id.to_owned(), class);
            }
            if class == 0 {
                index.example = if id.is_empty() { label } else { id }.to_owned();
            }
            index.by_label.entry(spelling(label)).and_modify(|known| *known = None).or_insert(Some(class));
            index.count += 1;
        }
        index
    }

    /// Returns the class called `name`. A name is an identifier, an identifier with a suffix (`n01440764_tench`), or a label.
    /// Labels match in any case and with `_` for spaces. Returns `None` if a label names several classes.
    pub fn find(&self, name: &str) -> Option<usize> {
        let label = || self.by_label.get(&spelling(name)).copied().flatten();
        let stem = || self.by_id.get(name.split(['_', '-', ' ']).next()?).copied();
        self.by_id.get(name).copied().or_else(label).or_else(stem)
    }

    /// Returns the class that a file of labels states: a name, or a name with a box of four numbers for each object of the image,
    /// as in the solution files of ILSVRC2012. All objects must be of the same class.
    pub(super) fn named(&self, stated: &str) -> Option<usize> {
        let words: Vec<&str> = stated.split_whitespace().collect();
        let is_box = |numbers: &[&str]| numbers.iter().all(|number| number.parse::<f64>().is_ok());
        if words.len() >= 5
            && words.len().is_multiple_of(5)
            && words.chunks(5).all(|object| is_box(&object[1..]))
        {
            let class = self.find(words[0])?;
            return words.chunks(5).all(|object| self.find(object[0]) == Some(class)).then_some(class);
        }
        // The rule for identifiers with a suffix would take the first of several.
        let mut ids = words.iter().filter_map(|word| self.by_id.get(*word));
        let first = ids.next();
        if ids.any(|id| Some(id) != first) {
            return None;
        }
        self.find(stated)
    }

    /// Returns whether several classes have this label.
    pub(super) fn is_ambiguous(&self, name: &str) -> bool {
        self.by_label.get(&spelling(name)) == Some(&None)
    }
}

/// Returns the spelling by which labels are compared.
fn spelling(label: &str) -> String {
    label.trim().replace('_', " ").to_lowercase()
}
