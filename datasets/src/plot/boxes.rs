//! Box plots.

use athanor_protocol::api::{BoxStats, PlotData};

use super::{Counts, Need, Scan, groups, quantile, with_group};
use crate::{dataset::Dataset, error::DatasetError};

/// Most values that are held for exact quartiles (8 bytes each).
const MAX_VALUES: usize = 200_000_000;

pub(super) fn boxes(
    dataset: &Dataset,
    column: &str,
    group: Option<&str>,
    stop: &dyn Fn() -> bool,
) -> Result<PlotData, DatasetError> {
    let needs = with_group(&[(column, Need::Number("a box plot"))], group);
    let mut scan = Scan::new(dataset, &needs, stop)?;
    let counts = match group {
        None => Counts::default(),
        Some(_) => scan.pass(Counts::default, |counts, batch| {
            batch.codes(1).iter().for_each(|&code| counts.add(code));
            Ok(())
        })?,
    };
    let groups = groups(&scan, &counts, group, 1);
    let (values, _) = scan.pass(
        || (vec![Vec::<f64>::new(); groups.len()], 0usize),
        |(values, n), batch| {
            *n += batch.n_rows;
            if *n > MAX_VALUES {
                let reason =
                    format!("a box plot of column {column:?} would need more than {MAX_VALUES} values at once");
                return Err(DatasetError::TooLarge { reason });
            }
            let codes = batch.codes(1);
            for (row, &value) in batch.numbers(0).iter().enumerate() {
                if value.is_finite()
                    && let Some(values) = values.get_mut(groups.at(codes, row))
                {
                    values.push(value);
                }
            }
            Ok(())
        },
    )?;
    let boxes = groups.named(values).into_iter().filter_map(|(name, values)| Some((name, box_of(values)?)));
    Ok(PlotData::Box { groups: boxes.collect() })
}

/// The box of finite values; `None` without any.
fn box_of(mut values: Vec<f64>) -> Option<BoxStats> {
    values.sort_unstable_by(f64::total_cmp);
    let (q1, median, q3) = (quantile(&values, 0.25)?, quantile(&values, 0.5)?, quantile(&values, 0.75)?);
    let reach = 1.5 * (q3 - q1);
    let from = values.partition_point(|&value| value < q1 - reach);
    let until = values.partition_point(|&value| value <= q3 + reach);
    let inside = values.get(from..until)?;
    // Between two distant values a quartile may lie beyond the last value within reach: a whisker ends at the box then.
    let low = inside.first().map_or(q1, |&low| low.min(q1));
    let high = inside.last().map_or(q3, |&high| high.max(q3));
    Some(BoxStats {
        low,
        q1,
        median,
        q3,
        high,
        n_outliers: (values.len() - inside.len()) as u64,
        extremes: [*values.first()?, *values.last()?],
        n: values.len() as u64,
    })
}
