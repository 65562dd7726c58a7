//! `data`: look at tables.

use athanor_datasets::DescribeOptions;
use athanor_protocol::table::{ColumnSummary, CsvOptions, DataSource, TableFormat, TableProfile};

use super::{
    Context,
    args::{DataCommand, TableArgs},
    output::{number, table},
};
use crate::error::Result;

/// The table that the arguments mean.
pub(crate) fn source(args: &TableArgs) -> DataSource {
    DataSource {
        path: args.file.clone(),
        format: TableFormat::Auto,
        csv: CsvOptions {
            separator: args.separator,
            has_header: args.no_header.then_some(false),
            decimal_comma: args.decimal_comma,
            null_values: args.null_values.clone(),
            text_columns: vec![],
        },
    }
}

pub(crate) fn run(context: &Context, command: DataCommand) -> Result<()> {
    let DataCommand::Describe { table, top, bins } = command;
    let dataset = athanor_datasets::open(&source(&table))?;
    let profile = dataset.describe(&DescribeOptions { max_top: top, n_bins: bins })?;
    let mut value = serde_json::to_value(&profile).unwrap_or_default();
    value["notes"] = serde_json::json!(dataset.notes());
    context.out.result(&value, || text(&table.file, &profile, dataset.notes()));
    Ok(())
}

fn text(file: &str, profile: &TableProfile, notes: &[String]) -> String {
    let rows: Vec<Vec<String>> = profile.columns.iter().map(row).collect();
    let mut text = format!("{file}: {} rows, {} columns", profile.n_rows, profile.columns.len());
    if profile.n_duplicate_rows > 0 {
        text += &format!(", {} rows occur more than once", profile.n_duplicate_rows);
    }
    text += &format!(
        "\n\n{}",
        table(
            &["column", "type", "missing", "distinct", "mean", "std", "min", "median", "max", "shape", "most frequent"],
            &rows
        )
    );
    for note in notes {
        text += &format!("\nnote: {note}");
    }
    for column in profile.columns.iter().filter(|column| !column.findings.is_empty()) {
        text += &format!("\n{}: {}", column.name, column.findings.join("; "));
    }
    text
}

fn row(column: &ColumnSummary) -> Vec<String> {
    let mut cells = vec![
        column.name.clone(),
        column.dtype.as_str().to_owned(),
        column.n_missing.to_string(),
        column.n_distinct.to_string(),
    ];
    match &column.numbers {
        Some(numbers) => {
            let value = |value: athanor_protocol::metric::MetricValue| value.finite().map_or("-".to_owned(), number);
            cells.extend([
                value(numbers.mean),
                value(numbers.std),
                value(numbers.min),
                value(numbers.quantiles[2]),
                value(numbers.max),
            ]);
            cells.push(spark(&numbers.histogram.iter().map(|bin| bin.count).collect::<Vec<_>>()));
        }
        None => cells.extend(std::iter::repeat_n("-".to_owned(), 6)),
    }
    let top = column
        .top
        .iter()
        .take(3)
        .map(|top| format!("{} ({})", top.value.chars().take(20).collect::<String>(), top.count));
    cells.push(if column.n_distinct as usize == column.top.len() || column.numbers.is_none() {
        top.collect::<Vec<_>>().join(", ")
    } else {
        String::new()
    });
    cells
}

/// A histogram in one line, at most ten bars wide.
fn spark(counts: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let width = counts.len().div_ceil(10).max(1);
    let sums: Vec<u64> = counts.chunks(width).map(|chunk| chunk.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    sums.iter().map(|&sum| BARS[usize::try_from(sum * 7 / most).unwrap_or(7)]).collect()
}
