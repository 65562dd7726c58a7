//! Descriptions.

use athanor_datasets::{DescribeOptions, open};
use athanor_protocol::{Code, metric::MetricValue, table::DataType};

use crate::support::Folder;

const OPTIONS: DescribeOptions = DescribeOptions { max_top: 2, n_bins: 4 };

#[test]
fn a_small_table_is_described_exactly() {
    let folder = Folder::new();
    let text = "n,s,b,d,c,id\n1,x,true,2024-01-01,7,a\n2,y,,2024-01-03,7,b\n4,x,true,2024-01-02,7,c\n,,false,,7,d\n8,x,true,2024-01-01,7,e\n1,x,true,2024-01-01,7,a\n";
    let profile = open(&folder.write("t.csv", text)).unwrap().describe(&OPTIONS).unwrap();
    assert_eq!((profile.n_rows, profile.n_duplicate_rows), (6, 1));
    assert!(profile.digest.starts_with("blake3:") && profile.digest.len() == 71);
    let n = &profile.columns[0];
    assert_eq!((n.dtype, n.n_missing, n.n_distinct), (DataType::Int, 1, 4));
    let top: Vec<(&str, u64)> = n.top.iter().map(|top| (top.value.as_str(), top.count)).collect();
    assert_eq!(top, [("1", 2), ("2", 1)]);
    let numbers = n.numbers.as_ref().unwrap();
    // numpy: mean 3.2, std(ddof=1) 2.949576240750525, percentiles 1, 1, 2, 4, 7.2.
    assert_eq!(numbers.mean, MetricValue::Finite(3.2));
    assert!((numbers.std.to_f64() - 2.949576240750525).abs() < 1e-12);
    let quantiles: Vec<f64> = numbers.quantiles.iter().map(|q| q.to_f64()).collect();
    assert!(quantiles.iter().zip([1.0, 1.0, 2.0, 4.0, 7.2]).all(|(a, b)| (a - b).abs() < 1e-12), "{quantiles:?}");
    let counts: Vec<u64> = numbers.histogram.iter().map(|bin| bin.count).collect();
    assert_eq!(counts, [3, 1, 0, 1]);
    assert_eq!(profile.columns[1].top[0].count, 4);
    assert!(profile.columns[2].numbers.is_none());
    let day = profile.columns[3].numbers.as_ref().unwrap();
    assert_eq!(day.min, MetricValue::Finite(1_704_067_200.0));
    assert_eq!(profile.columns[3].top[0].value, "2024-01-01");
    assert_eq!(profile.columns[4].findings, ["the same value in every row that has one"]);
}

#[test]
fn extremes_do_not_break_it() {
    let folder = Folder::new();
    let text = "x,e\n1e308,\n-1e308,\nnan,\ninf,\n-inf,\n0,\n";
    let profile = open(&folder.write("t.csv", text)).unwrap().describe(&OPTIONS).unwrap();
    let numbers = profile.columns[0].numbers.as_ref().unwrap();
    assert_eq!(numbers.n_non_finite, 3);
    assert_eq!((numbers.min, numbers.max), (MetricValue::Finite(-1e308), MetricValue::Finite(1e308)));
    assert_eq!(numbers.histogram.iter().map(|bin| bin.count).sum::<u64>(), 3);
    assert!(numbers.mean.finite().is_some_and(|mean| mean.abs() < 1e300));
    assert_eq!(profile.columns[0].findings, ["3 values are infinite or not a number"]);
    assert_eq!(profile.columns[1].findings, ["all values are missing"]);
    assert_eq!(profile.columns[1].n_missing, 6);
}

#[test]
fn a_wide_table_is_described_in_several_passes() {
    let folder = Folder::new();
    let mut text = (0..60).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",") + "\n";
    for row in 0..100_000 {
        let cell = if row % 5 == 0 { ",".repeat(59) } else { vec!["1"; 60].join(",") };
        text.push_str(&cell);
        text.push('\n');
    }
    let profile = open(&folder.write("t.csv", text)).unwrap().describe(&OPTIONS).unwrap();
    assert_eq!(profile.columns.len(), 60);
    assert_eq!(profile.columns[59].n_missing, 20_000);
    assert_eq!(profile.n_duplicate_rows, 99_998);
}

#[test]
fn head_reads_the_first_rows() {
    let folder = Folder::new();
    let dataset = open(&folder.write("t.csv", "a,b\n1,x\n2,y\n3,z\n")).unwrap();
    let rows = |n| crate::support::rows(&dataset.head(n).unwrap());
    assert_eq!(rows(2), ["1|x", "2|y"]);
    assert_eq!(rows(9).len(), 3);
    assert_eq!(rows(0).len(), 0);
}

#[test]
fn a_description_that_is_stopped_ends_before_its_last_column() {
    let folder = Folder::new();
    let table = open(&folder.write("t.csv", "a,b,c\n1,2,3\n4,5,6\n")).unwrap();
    let far = std::cell::Cell::new(0);
    let stopped = table.describe_watched(&OPTIONS, &mut |done, _| far.set(done), &|| far.get() >= 1);
    assert_eq!(stopped.unwrap_err().code(), Code::Cancelled);
    assert_eq!(far.get(), 1);
}
