//! The names of a machine and its CPUs.

use crate::machine::sysfs::Sysfs;
use std::collections::BTreeMap;
use std::path::Path;

/// Returns the name of the board, from the device tree or from the firmware of a PC. `files` are those below `/`.
pub(crate) fn board(files: &Sysfs) -> Option<String> {
    let model = ["proc/device-tree/model", "sys/firmware/devicetree/base/model"];
    model.iter().find_map(|path| files.text(path)).or_else(|| {
        let parts =
            ["sys_vendor", "product_name"].map(|part| files.text(&format!("sys/class/dmi/id/{part}")));
        let named: Vec<_> = parts.into_iter().flatten().collect();
        (!named.is_empty()).then(|| named.join(" "))
    })
}

/// Returns the values of a name in `/proc/cpuinfo`, one for each CPU.
pub(crate) fn cpuinfo(files: &Sysfs, name: &str) -> Vec<String> {
    let text = files.text("proc/cpuinfo").unwrap_or_default();
    let values = text.lines().filter_map(|line| line.split_once(':'));
    values.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).collect()
}

/// The names of the CPUs of common boards, by the numbers of their designer and part.
const PARTS: [(u32, u32, &str); 25] = [
    (0x41, 0xd03, "Cortex-A53"),
    (0x41, 0xd04, "Cortex-A35"),
    (0x41, 0xd05, "Cortex-A55"),
    (0x41, 0xd07, "Cortex-A57"),
    (0x41, 0xd08, "Cortex-A72"),
    (0x41, 0xd09, "Cortex-A73"),
    (0x41, 0xd0a, "Cortex-A75"),
    (0x41, 0xd0b, "Cortex-A76"),
    (0x41, 0xd0c, "Neoverse N1"),
    (0x41, 0xd0d, "Cortex-A77"),
    (0x41, 0xd40, "Neoverse V1"),
    (0x41, 0xd41, "Cortex-A78"),
    (0x41, 0xd42, "Cortex-A78AE"),
    (0x41, 0xd44, "Cortex-X1"),
    (0x41, 0xd46, "Cortex-A510"),
    (0x41, 0xd47, "Cortex-A710"),
    (0x41, 0xd48, "Cortex-X2"),
    (0x41, 0xd49, "Neoverse N2"),
    (0x41, 0xd4d, "Cortex-A715"),
    (0x41, 0xd4e, "Cortex-X3"),
    (0x41, 0xd4f, "Neoverse V2"),
    (0x41, 0xd80, "Cortex-A520"),
    (0x41, 0xd81, "Cortex-A720"),
    (0x4e, 0x003, "Denver 2"),
    (0x4e, 0x004, "Carmel"),
];

/// Returns the name of every CPU, in the order of `/proc/cpuinfo`.
pub(crate) fn cpus(files: &Sysfs) -> Vec<String> {
    let names = cpuinfo(files, "model name");
    let number = |text: &String| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let parts = cpuinfo(files, "CPU implementer").into_iter().zip(cpuinfo(files, "CPU part"));
    let parts: Vec<_> = parts
        .map(|(designer, part)| {
            let known =
                PARTS.iter().find(|&&(d, p, _)| Some(d) == number(&designer) && Some(p) == number(&part));
            known.map_or_else(|| format!("CPU {designer}/{part}"), |&(_, _, name)| name.to_owned())
        })
        .collect();
    // Some kernels also give a model name, which says less.
    if parts.is_empty() { names } else { parts }
}

/// Returns this machine in words, such as `4 × Cortex-A76 (Raspberry Pi 5 Model B Rev 1.0)`; `None` if it does not say.
pub(crate) fn this_machine() -> Option<String> {
    machine(&Sysfs::at(Path::new("/")))
}

fn machine(files: &Sysfs) -> Option<String> {
    let mut kinds = BTreeMap::<String, usize>::new();
    cpus(files).into_iter().for_each(|name| *kinds.entry(name).or_default() += 1);
    let kinds: Vec<String> = kinds.into_iter().map(|(name, count)| format!("{count} × {name}")).collect();
    match (kinds.is_empty(), board(files)) {
        (true, board) => board,
        (false, None) => Some(kinds.join(", ")),
        (false, Some(board)) => Some(format!("{} ({board})", kinds.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sysfs::Fake;

    #[test]
    fn machines_in_words() {
        let fake = Fake::new();
        assert_eq!(machine(&fake.sysfs()), None);
        fake.write("proc/device-tree/model", "Radxa ROCK 5B\0");
        assert_eq!(machine(&fake.sysfs()).as_deref(), Some("Radxa ROCK 5B"));
        let cpu = |part: &str| format!("processor : 0\nCPU implementer : 0x41\nCPU part : {part}\n");
        fake.write("proc/cpuinfo", ["0xd05", "0xd05", "0xd0b"].map(cpu).concat());
        let expected = "2 × Cortex-A55, 1 × Cortex-A76 (Radxa ROCK 5B)";
        assert_eq!(machine(&fake.sysfs()).as_deref(), Some(expected));
    }
}
