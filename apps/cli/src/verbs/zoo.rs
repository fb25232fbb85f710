//! `resnext zoo`: lists the known variants.

use crate::terminal::Error;
use crate::terminal::output::{self, terminal_width};
use crate::terminal::table::{Column, Table};
use resnext_models::{Library, Shortcut, Stem, Variant, ZOO, reference};
use serde::Serialize;

/// List the ResNeXt variants whose checkpoints resnext knows.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Top-1 and top-5 are the percentages that the library published for fp32 on ImageNet-1k; those of the bundled model \
are for Imagenette. Params and GMAC (giga multiply-accumulates for one image) are counted; --json has what the \
model zoo's page states beside them, if it does: published.params, and published.macs or published.flops, at \
published.size.

Names with a dot are those of further weights: after it is the tag that torchvision or timm gives them. A name \
without one is that of the weights that the model zoo's page lists.

Pixels a→b means that the short side of an image is resized to a, and the network sees the centre of b×b pixels. \
Crop is b / a as the library states it. Interpolation names the filter and the library whose arithmetic it follows. \
A narrow terminal shows fewer columns; --json shows everything. --arch takes these names, and the libraries' \
other names for the same weights, such as timm/resnext50_32x4d.a1h_in1k or mmpretrain/resnext50-32x4d_8xb32_in1k.

Examples:
  resnext zoo
  resnext zoo ppcls
  resnext zoo 101_64x4d --json | jq '.[].params'")]
pub(crate) struct Args {
    /// Show only variants whose name contains this text, such as timm or 32x8d
    #[arg(value_name = "FILTER")]
    filter: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let report = Report::new(args.filter.as_deref().unwrap_or_default());
    match &args.filter {
        Some(filter) if report.0.is_empty() => {
            Err(Error::new(filter, "no variant has this in its name; leave it out to list all"))
        }
        _ if args.json => output::print_json(&report),
        _ => output::print(&report.table(terminal_width())),
    }
}

#[derive(Serialize)]
struct Report(Vec<Row>);

#[derive(Serialize)]
struct Row {
    /// The name for `--arch`.
    arch: String,
    source: &'static str,
    name: &'static str,
    published: Published,
    params: u64,
    /// For one image of the published size.
    macs: u64,
    architecture: Architecture,
    preprocess: Preprocess,
}

/// What was published: accuracies as fractions of 1, as in all JSON, and the cost by the count of the model zoo's page, null if it
/// has none.
#[derive(Serialize)]
struct Published {
    top1: f64,
    top5: f64,
    params: Option<u64>,
    macs: Option<u64>,
    /// Floating-point operations, which PaddleClas counts instead.
    flops: Option<u64>,
    /// The input size of `macs` or `flops`.
    size: Option<u16>,
}

#[derive(Serialize)]
struct Architecture {
    depth: usize,
    blocks: [u8; 4],
    cardinality: u16,
    base_width: u16,
    planes: u16,
    stem: &'static str,
    shortcut: &'static str,
    classes: u16,
}

#[derive(Serialize)]
struct Preprocess {
    size: u16,
    resize: u16,
    crop: f32,
    interpolation: &'static str,
    mean: [f32; 3],
    std: [f32; 3],
    /// The second size at which the library evaluates the weights.
    test: Option<Test>,
}

#[derive(Serialize)]
struct Test {
    size: u16,
    crop: f32,
}

impl Report {
    /// Returns the variants whose names contain `filter`, regardless of case, in the order of the zoo.
    fn new(filter: &str) -> Self {
        let filter = filter.to_lowercase();
        let rows = ZOO.iter().chain([&reference::VARIANT]).map(Row::new);
        Self(rows.filter(|row| row.arch.to_lowercase().contains(&filter)).collect())
    }

    fn table(&self, width: Option<usize>) -> Table<8> {
        let columns = [
            Column::text("variant"),
            Column::number("top-1"),
            Column::number("top-5").optional(3),
            Column::number("params"),
            Column::number("GMAC"),
            Column::number("pixels"),
            Column::number("crop").optional(2),
            Column::text("interpolation").optional(1),
        ];
        let mut table = Table::new(columns, width);
        for row in &self.0 {
            table.row([
                row.arch.clone(),
                format!("{:.2}", 100.0 * row.published.top1),
                format!("{:.2}", 100.0 * row.published.top5),
                format!("{}M", five_figures(row.params as f64 / 1e6)),
                five_figures(row.macs as f64 / 1e9),
                format!("{}→{}", row.preprocess.resize, row.preprocess.size),
                share(row.preprocess.crop),
                row.preprocess.interpolation.replace('-', " "),
            ]);
        }
        table
    }
}

impl Row {
    fn new(variant: &Variant) -> Self {
        let Variant { library, name, architecture: a, preprocessing: p, published, test, stated } = *variant;
        let operations = stated.map(|cost| cost.operations);
        let counts_flops = library == Library::Ppcls;
        Self {
            arch: variant.to_string(),
            source: library.as_str(),
            name,
            published: Published {
                top1: fraction(published.top1),
                top5: fraction(published.top5),
                params: stated.map(|cost| cost.params),
                macs: operations.filter(|_| !counts_flops),
                flops: operations.filter(|_| counts_flops),
                size: stated.map(|cost| cost.size),
            },
            params: a.params(),
            macs: a.macs(p.size.into()),
            architecture: Architecture {
                depth: a.depth(),
                blocks: a.blocks,
                cardinality: a.cardinality,
                base_width: a.base_width,
                planes: a.planes,
                stem: match a.stem {
                    Stem::Plain => "plain",
                    Stem::Deep => "deep",
                },
                shortcut: match a.shortcut {
                    Shortcut::Projection => "projection",
                    Shortcut::AvgPool => "avg-pool",
                },
                classes: a.classes,
            },
            preprocess: Preprocess {
                size: p.size,
                resize: p.resize,
                crop: p.crop,
                interpolation: p.interpolation.as_str(),
                mean: p.mean,
                std: p.std,
                test: test.map(|test| Test { size: test.size, crop: test.crop }),
            },
        }
    }
}

/// Converts a percentage with at most three decimals to the nearest fraction. As f32, 77.618 is not quite 77.618.
fn fraction(percentage: f32) -> f64 {
    (f64::from(percentage) * 1e3).round() / 1e5
}

/// Formats a share with at most three digits: `.875` and `1`, because the line has no room for more.
fn share(value: f32) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').trim_start_matches('0').to_owned()
}

/// Formats a number with at most five digits: two decimals below 100, one above.
fn five_figures(value: f64) -> String {
    format!("{value:.*}", if value < 99.995 { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_what_was_published() {
        for (percentage, expected) in [(77.618, 0.77618), (78.4, 0.784), (100.0, 1.0), (84.70, 0.847)] {
            assert_eq!(fraction(percentage), expected);
        }
    }

    #[test]
    fn figures() {
        let texts = [4.2299, 99.994, 99.996, 312.876].map(five_figures);
        assert_eq!(texts, ["4.23", "99.99", "100.0", "312.9"]);
    }

    #[test]
    fn shares_are_short() {
        assert_eq!([0.875, 1.0, 224.0 / 232.0, 0.95].map(share), [".875", "1", ".966", ".95"]);
    }

    /// The costs that the model zoo's page states stand beside ours in the book.
    #[test]
    fn the_book_has_the_costs_of_the_page() {
        let book = include_str!("../../../../docs/src/reference/models.md");
        for variant in ZOO {
            let Some(cost) = variant.stated else { continue };
            let size = variant.preprocessing.size;
            let [giga, counted_giga] =
                [cost.operations, variant.architecture.macs(size.into())].map(|count| count as f64 / 1e9);
            let [mega, counted_mega] =
                [cost.params, variant.architecture.params()].map(|count| count as f64 / 1e6);
            let line = format!(
                "| {variant} | {giga:.3} | {counted_giga:.3} | {size} | {mega:.3} | {counted_mega:.3} |\n"
            );
            assert!(book.contains(&line), "{line}");
        }
    }

    #[test]
    fn the_table_fits_a_terminal() {
        let table = |width| Report::new("").table(width).to_string();
        let widest = |table: &str| table.lines().map(|line| line.chars().count()).max();
        let everything = table(None);
        assert!(widest(&everything) <= Some(110), "{everything}");
        assert_eq!(table(Some(110)), everything);
        assert!(widest(&table(Some(80))) <= Some(80), "{}", table(Some(80)));
        assert_eq!(everything.lines().count(), 1 + 53 + 1);
    }

    #[test]
    fn filters_look_at_the_whole_name() {
        let count = |filter| Report::new(filter).0.len();
        assert_eq!(
            ["torchvision/", "TIMM", "mmcls", "ppcls", "bundled", "vd_"].map(count),
            [5, 27, 4, 17, 1, 6]
        );
        assert_eq!(count("ppcls/resnext101_32x8d_wsl"), 1);
        assert_eq!(count("keras"), 0);
    }
}
