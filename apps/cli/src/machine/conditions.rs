//! The conditions of a measurement: what a reader needs to judge it, or to repeat it.

use crate::machine::identity;
use crate::machine::load::Load;
use crate::terminal::table::Fields;
use crate::terminal::text::{clean, shell};
use resnext_report::Conditions;
use std::time::SystemTime;

/// Describes this machine, this moment and this command.
pub(crate) fn conditions(load: Option<Load>) -> Conditions {
    let arguments =
        std::env::args_os().skip(1).map(|argument| shell(&argument.to_string_lossy()).into_owned());
    Conditions {
        machine: identity::this_machine(),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        load: load.map(|load| load.average),
        command: std::iter::once("resnext".to_owned()).chain(arguments).collect::<Vec<_>>().join(" "),
    }
}

/// Adds the conditions to what a text form says.
pub(crate) fn add_to(fields: &mut Fields, conditions: &Conditions) {
    fields.add("measured on", clean(&conditions.to_string()));
    fields.add("command", clean(&conditions.command));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_no_fractions() {
        let Conditions { date, command, .. } = conditions(None);
        assert!(date.len() == "2026-11-30T12:00:00Z".len() && date.ends_with('Z'), "{date}");
        assert!(command.starts_with("resnext"), "{command}");
    }
}
