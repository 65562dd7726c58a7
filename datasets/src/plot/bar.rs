//! How often the most frequent values occur.

use athanor_protocol::api::PlotData;

use super::{Counts, MAX_VALUE_CHARS, MISSING, Need, Scan, groups, with_group};
use crate::{
    dataset::Dataset,
    error::{DatasetError, cut},
};

/// Most bars.
const MAX_BARS: usize = 30;

pub(super) fn bar(
    dataset: &Dataset,
    column: &str,
    group: Option<&str>,
    stop: &dyn Fn() -> bool,
) -> Result<PlotData, DatasetError> {
    let needs = with_group(&[(column, Need::Label)], group);
    let mut scan = Scan::new(dataset, &needs, stop)?;
    let (values, by_group) = scan.pass(<(Counts, Counts)>::default, |(values, by_group), batch| {
        batch.codes(0).iter().for_each(|&code| values.add(code));
        batch.codes(1).iter().for_each(|&code| by_group.add(code));
        Ok(())
    })?;
    let groups = groups(&scan, &by_group, group, 1);
    let top = values.top(scan.names(0), MAX_BARS);
    let mut places = vec![None; values.by_code.len()];
    for (place, &code) in top.iter().enumerate() {
        places[code as usize] = Some(place);
    }
    let counts = scan.pass(
        || vec![vec![0u64; top.len()]; groups.len()],
        |counts, batch| {
            let codes = batch.codes(1);
            for (row, &code) in batch.codes(0).iter().enumerate() {
                if code != MISSING
                    && let Some(place) = places.get(code as usize).copied().flatten()
                    && let Some(counts) = counts.get_mut(groups.at(codes, row))
                {
                    counts[place] += 1;
                }
            }
            Ok(())
        },
    )?;
    let shown: u64 = top.iter().map(|&code| values.by_code[code as usize]).sum();
    let name = |&code: &u32| scan.names(0).get(code as usize).map(|name| cut(name, MAX_VALUE_CHARS));
    Ok(PlotData::Bar {
        values: top.iter().filter_map(name).collect(),
        groups: groups.named(counts),
        n_other: values.by_code.iter().sum::<u64>() - shown,
        n_missing: values.n_missing,
    })
}
