//! The report for people.

use super::report::{Fp32, Layer, Milliseconds, Report, per_second};
use crate::machine::conditions;
use crate::terminal::output::terminal_width;
use crate::terminal::table::{Column, Fields, Table};
use crate::terminal::text::{clean, plural, shorten, size};
use resnext_metadata::Fidelity;
use resnext_report::speed;
use std::cmp::Reverse;
use std::fmt;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = terminal_width();
        let mut fields = Fields::default();
        fields.add("model", clean(&self.model));
        fields.add(
            "input",
            format!("{}×{} RGB, {:.3} GMAC an inference", self.input.height, self.input.width, self.gmac),
        );
        fields.add("running on", format!("{}, {} kernels", self.placement, self.isa));
        fields.add("latency", self.ms.to_string());
        fields.add(
            "",
            format!(
                "{} run{} after {} warm-up{}",
                self.runs,
                plural(self.runs as usize),
                self.warmup,
                plural(self.warmup as usize)
            ),
        );
        if let Some(fp32) = &self.fp32 {
            fp32.add_to(&mut fields, self.ms.p50, self.threads);
        }
        if let Some(sustained) = &self.sustained {
            fields.add("sustained", sustained.verdict());
        }
        fields.add("throughput", format!("{:.1} frames/s   {:.2} GMAC/s", self.fps, self.gmac_per_s));
        let mut memory =
            format!("arena {}   model {}", size(self.arena_bytes as u64), size(self.model_bytes as u64));
        if let Some(peak) = self.peak_rss_bytes {
            memory += &format!("   peak resident {}", size(peak));
        }
        fields.add("memory", memory);
        if let Some(Fidelity { samples, agreement: Some(agreement), logit_sqnr_db: Some(db) }) = self.fidelity
        {
            let same = format!("same class as fp32 on {:.1} % of {samples} samples", 100.0 * agreement);
            fields.add(
                "accuracy",
                format!("{same} when it was compiled, logits {db:.1} dB SQNR; see resnext eval"),
            );
        }
        fields.add("load", format!("{:.1} ms to read and check the model", self.load_ms));
        fields.add("allocations", format!("{} while measuring", self.steady_state_allocations));
        conditions::add_to(&mut fields, &self.conditions);
        write!(f, "{fields}")?;
        writeln!(f)?;
        if let Some(sustained) = &self.sustained {
            writeln!(f, "{sustained}")?;
        }
        match &self.profile {
            None => {
                let mut table = Table::new([Column::text("kernel"), Column::number("layers")], width);
                let mut kernels: Vec<_> = self.kernels.iter().collect();
                kernels.sort_by_key(|&(_, &layers)| Reverse(layers));
                for (kernel, layers) in kernels {
                    table.row([(*kernel).to_owned(), layers.to_string()]);
                }
                write!(f, "{table}")
            }
            Some(layers) => {
                writeln!(f, "{}", self.by_kernel(layers, width))?;
                write!(f, "{}", by_layer(layers, width))
            }
        }
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, min } = self;
        write!(f, "p50 {p50:.2} ms   p90 {p90:.2} ms   p99 {p99:.2} ms   min {min:.2} ms")
    }
}

impl Fp32 {
    /// Adds the comparison with int8, whose median on `threads` threads is `int8`.
    fn add_to(&self, fields: &mut Fields, int8: f64, threads: usize) {
        let Self { network, ms, int8_ms, .. } = self;
        fields.add("fp32", ms.to_string());
        let alike = speed(ms.p50 / int8_ms.p50, "fp32");
        fields.add("", format!("{network}, 1 thread, in turn with int8: int8 on 1 thread is {alike}"));
        if threads > 1 {
            fields.add("int8 alone", int8_ms.to_string());
            let all = speed(ms.p50 / int8, "fp32 on one");
            fields.add("", format!("on 1 thread; on {threads} threads int8 is {all}"));
        }
    }
}

impl Report {
    fn by_kernel(&self, layers: &[Layer], width: Option<usize>) -> Table<5> {
        let columns = [
            Column::text("kernel"),
            Column::number("layers"),
            Column::number("ms"),
            Column::number("%"),
            Column::number("GMAC/s"),
        ];
        let mut table = Table::new(columns, width);
        let mut kernels: Vec<_> = self
            .kernels
            .iter()
            .map(|(&kernel, &count)| {
                let of_kernel = || layers.iter().filter(|layer| layer.kernel == kernel);
                let ms = of_kernel().map(|layer| layer.ms).sum::<f64>();
                let share = of_kernel().map(|layer| layer.share).sum();
                let macs = of_kernel().map(|layer| layer.macs).sum::<u64>();
                (kernel, count, ms, share, macs)
            })
            .collect();
        kernels.sort_by(|a, b| b.2.total_cmp(&a.2));
        for (kernel, count, ms, share, macs) in kernels {
            let rate = (macs > 0).then(|| per_second(macs as f64 / 1e9, ms));
            let [ms, share, rate] = numbers(ms, share, rate);
            table.row([kernel.to_owned(), count.to_string(), ms, share, rate]);
        }
        table
    }
}

fn by_layer(layers: &[Layer], width: Option<usize>) -> Table<6> {
    let columns = [
        Column::text("layer"),
        Column::number("ms"),
        Column::number("%"),
        Column::number("GMAC/s"),
        Column::number("output"),
        Column::text("kernel").optional(1),
    ];
    let mut table = Table::new(columns, width);
    for layer in layers {
        let [ms, share, rate] = numbers(layer.ms, layer.share, layer.gmac_per_s);
        let [h, w, c] = layer.output;
        table.row([
            shorten(&layer.name, 28),
            ms,
            share,
            rate,
            format!("{h}×{w}×{c}"),
            short_kernel(layer.kernel).to_owned(),
        ]);
    }
    table
}

fn numbers(ms: f64, share: f64, rate: Option<f64>) -> [String; 3] {
    let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}"));
    [format!("{ms:.3}"), format!("{:.1}", 100.0 * share), rate]
}

/// Returns the name of a kernel without architecture and data types, which are the same for all layers.
fn short_kernel(name: &str) -> &str {
    ["-qs8qc8w-", "-qs8-"]
        .iter()
        .find_map(|types| name.split_once(types))
        .map_or(name, |(_, algorithm)| algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_names_lose_what_they_share() {
        assert_eq!(short_kernel("aarch64-qs8qc8w-gconv4-6x16c4-dotprod"), "gconv4-6x16c4-dotprod");
        assert_eq!(short_kernel("portable-qs8-maxpool"), "maxpool");
        assert_eq!(short_kernel("tract-avx2_mmm_i32_8x8"), "tract-avx2_mmm_i32_8x8");
    }
}
