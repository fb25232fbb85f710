//! Lists of CPUs.

use crate::terminal::text::plural;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A set of CPU numbers, written as `taskset` and the kernel write them: `0-3,6`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CpuList(BTreeSet<u16>);

impl CpuList {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the CPUs that are not in `other`.
    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Formats the list as `CPU 0` or `CPUs 0-3`.
    pub(crate) fn named(&self) -> String {
        format!("CPU{} {self}", plural(self.len()))
    }
}

impl FromIterator<u16> for CpuList {
    fn from_iter<T: IntoIterator<Item = u16>>(cpus: T) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl Extend<u16> for CpuList {
    fn extend<T: IntoIterator<Item = u16>>(&mut self, cpus: T) {
        self.0.extend(cpus);
    }
}

/// The error of a text that is no [`CpuList`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAList;

impl fmt::Display for NotAList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a list of CPUs; write it as 0-3 or 0,2,4-5")
    }
}

impl std::error::Error for NotAList {}

impl FromStr for CpuList {
    type Err = NotAList;

    fn from_str(text: &str) -> Result<Self, NotAList> {
        // `parse` alone would accept a sign.
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u16>().map_err(|_| NotAList),
            false => Err(NotAList),
        };
        let mut cpus = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(NotAList);
            }
            cpus.extend(first..=last);
        }
        Ok(cpus)
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if(|&next| next == last + 1) {
                last = next;
            }
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
    }

    #[test]
    fn lists_are_read_as_taskset_reads_them() {
        let cases: [(&str, &[u16], &str); 6] = [
            ("0", &[0], "0"),
            ("0-3", &[0, 1, 2, 3], "0-3"),
            ("0,2,4-5", &[0, 2, 4, 5], "0,2,4-5"),
            ("7,4-6,5", &[4, 5, 6, 7], "4-7"),
            ("3,3-3", &[3], "3"),
            ("65535", &[65535], "65535"),
        ];
        for (text, cpus, written) in cases {
            assert_eq!(list(text), cpus.iter().copied().collect(), "{text}");
            assert_eq!(list(text).to_string(), written);
        }
        for text in
            ["", ",", "0,", "-1", "1-", "3-1", "0-1-2", "+1", "0x3", "a", "0 1", " 0", "65536", "0-3:2", "²"]
        {
            assert_eq!(text.parse::<CpuList>(), Err(NotAList), "{text:?}");
        }
    }
}
