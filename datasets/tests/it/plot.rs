//! Plots: numbers that were computed by hand.

use athanor_datasets::{DatasetError, TableWriter, open};
use athanor_protocol::{
    Code,
    api::{BoxStats, PlotData, PlotSpec},
    columns::{Column, ColumnData, Frame},
    table::DataSource,
};

use crate::support::Folder;

fn plot(source: &DataSource, spec: PlotSpec) -> Result<PlotData, DatasetError> {
    open(source).unwrap().plot(&spec, &|| false)
}

/// The same table as text and as Parquet.
fn both(folder: &Folder, text: &str) -> [DataSource; 2] {
    let csv = folder.write("t.csv", text);
    let mut writer = TableWriter::create(&folder.path("t.parquet")).unwrap();
    for batch in athanor_datasets::read_batches(&csv, 3).unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    [csv, folder.source("t.parquet")]
}

fn check(text: &str, spec: PlotSpec, expect: &PlotData) {
    let folder = Folder::new();
    for source in both(&folder, text) {
        assert_eq!(plot(&source, spec.clone()).unwrap(), *expect, "{}", source.path);
    }
}

fn name(name: &str) -> String {
    name.to_owned()
}

fn histogram(column: &str, n_bins: u32, group: Option<&str>) -> PlotSpec {
    PlotSpec::Histogram { column: name(column), n_bins, group: group.map(name) }
}

fn counts(data: &PlotData) -> Vec<(String, Vec<u64>)> {
    let PlotData::Histogram { groups, .. } = data else { panic!("{data:?}") };
    groups.iter().map(|(name, bins)| (name.clone(), bins.iter().map(|bin| bin.count).collect())).collect()
}

const TABLE: &str = "x,y,kind\n0,1,a\n1,2,b\n2,6,a\n3,,a\n4,10,\nnan,0,b\n";

#[test]
fn a_histogram_counts_values_between_common_edges() {
    let folder = Folder::new();
    for source in both(&folder, TABLE) {
        let data = plot(&source, histogram("x", 4, None)).unwrap();
        // [0,1) [1,2) [2,3) [3,4]
        assert_eq!(counts(&data), [(String::new(), vec![1, 1, 1, 2])]);
        let PlotData::Histogram { groups, n_left_out } = &data else { panic!() };
        assert_eq!(*n_left_out, 1);
        assert_eq!((groups[0].1[3].low, groups[0].1[3].high), (3.0, 4.0));
        let data = plot(&source, histogram("x", 2, Some("kind"))).unwrap();
        let expect = [("a", vec![1, 2]), ("b", vec![1, 0]), ("missing", vec![0, 1])];
        assert_eq!(counts(&data), expect.map(|(group, counts)| (name(group), counts)));
    }
}

#[test]
fn edges_count_to_the_bin_above() {
    // Tenths are not what they seem in binary; every value must land where the edges that are shown say.
    let text = "x\n".to_owned() + &(0..=30).map(|i| format!("{}\n", f64::from(i) / 10.0)).collect::<String>();
    let folder = Folder::new();
    let data = plot(&folder.write("t.csv", text), histogram("x", 30, None)).unwrap();
    let PlotData::Histogram { groups, .. } = &data else { panic!() };
    for (at, bin) in groups[0].1.iter().enumerate() {
        let inside = |v: f64| v >= bin.low && (v < bin.high || (at == 29 && v <= bin.high));
        let expect = (0..=30).filter(|&i| inside(f64::from(i) / 10.0)).count() as u64;
        assert_eq!(bin.count, expect, "bin {at}: {bin:?}");
    }
}

#[test]
fn histograms_of_odd_columns() {
    let folder = Folder::new();
    let source =
        folder.write("t.csv", "same,far,none,when,flag\n5,-1e308,,2024-01-01,true\n5,1e308,,2024-01-03,false\n");
    assert_eq!(counts(&plot(&source, histogram("same", 10, None)).unwrap()), [(String::new(), vec![2])]);
    assert_eq!(counts(&plot(&source, histogram("far", 2, None)).unwrap()), [(String::new(), vec![1, 1])]);
    assert_eq!(counts(&plot(&source, histogram("flag", 2, None)).unwrap()), [(String::new(), vec![1, 1])]);
    let PlotData::Histogram { groups, .. } = plot(&source, histogram("when", 2, None)).unwrap() else { panic!() };
    assert_eq!((groups[0].1[0].low, groups[0].1[1].high), (1_704_067_200.0, 1_704_240_000.0), "seconds");
    let err = plot(&source, histogram("none", 2, None)).unwrap_err();
    assert_eq!(err.to_string(), "column \"none\": a histogram needs numbers, this column holds text");
    let empty = folder.write("e.csv", "x,g\n1,a\n");
    std::fs::write(folder.path("e.csv"), "x,g\nnan,a\n").unwrap();
    let data = plot(&empty, histogram("x", 2, Some("g"))).unwrap();
    assert_eq!(data, PlotData::Histogram { groups: vec![(name("a"), vec![])], n_left_out: 1 });
}

#[test]
fn bars_are_the_most_frequent_values() {
    let expect = PlotData::Bar {
        values: vec![name("a"), name("b")],
        groups: vec![(String::new(), vec![3, 2])],
        n_other: 0,
        n_missing: 1,
    };
    check(TABLE, PlotSpec::Bar { column: name("kind"), group: None }, &expect);
    // 40 values, the value `i` occurs `i % 3 + 1` times: 27 occur more than once, of the others 3 are shown.
    let mut text = "v,g\n".to_owned();
    for i in 0..40 {
        (0..=i % 3).for_each(|n| text.push_str(&format!("v{i:02},{}\n", ["x", "y", "y"][n])));
    }
    let folder = Folder::new();
    for source in both(&folder, &text) {
        let data = plot(&source, PlotSpec::Bar { column: name("v"), group: Some(name("g")) }).unwrap();
        let PlotData::Bar { values, groups, n_other, n_missing } = data else { panic!() };
        assert_eq!((values.len(), n_other, n_missing), (30, 14 - 4, 0));
        assert_eq!((values[0].as_str(), values[13].as_str(), values[29].as_str()), ("v02", "v01", "v09"));
        assert_eq!(groups[0].0, "x");
        assert_eq!(groups[0].1, [1; 30]);
        assert_eq!((groups[1].1[0], groups[1].1[13], groups[1].1[29]), (2, 1, 0));
    }
}

#[test]
fn a_box_ends_at_the_last_values_within_reach() {
    // Sorted 1 2 3 4 100: quartiles 2, 3, 4; reach 3, so that 100 is out and the upper whisker ends at 4.
    let stats =
        BoxStats { low: 1.0, q1: 2.0, median: 3.0, q3: 4.0, high: 4.0, n_outliers: 1, extremes: [1.0, 100.0], n: 5 };
    let spec = |group: Option<&str>| PlotSpec::Box { column: name("v"), group: group.map(name) };
    check("v\n4\n100\n1\n3\n2\n", spec(None), &PlotData::Box { groups: vec![(String::new(), stats)] });
    // Quartiles between values: of 0 and 10 they are 2.5, 5 and 7.5.
    let two =
        BoxStats { low: 0.0, q1: 2.5, median: 5.0, q3: 7.5, high: 10.0, n_outliers: 0, extremes: [0.0, 10.0], n: 2 };
    let one =
        BoxStats { low: 7.0, q1: 7.0, median: 7.0, q3: 7.0, high: 7.0, n_outliers: 0, extremes: [7.0, 7.0], n: 1 };
    let groups = vec![(name("a"), two), (name("b"), one)];
    check("v,g\n10,a\n,c\n7,b\n0,a\n", spec(Some("g")), &PlotData::Box { groups });
    // 0 and 100 four times: q1 is 100, and so are the box and both whiskers; the 0 is an outlier. With three, q1 is 75,
    // the fence 37.5, and the lower whisker must not stand above the box.
    let folder = Folder::new();
    let PlotData::Box { groups } = plot(&folder.write("t.csv", "v\n0\n100\n100\n100\n"), spec(None)).unwrap() else {
        panic!()
    };
    assert_eq!((groups[0].1.low, groups[0].1.q1, groups[0].1.n_outliers), (75.0, 75.0, 1));
}

#[test]
fn a_scatter_plot_is_an_even_sample() {
    let groups = vec![
        (name("a"), vec![[0.0, 1.0], [2.0, 6.0]]),
        (name("b"), vec![[1.0, 2.0]]),
        (name("missing"), vec![[4.0, 10.0]]),
    ];
    let spec = |group: Option<&str>| PlotSpec::Scatter { x: name("x"), y: name("y"), group: group.map(name) };
    check(TABLE, spec(Some("kind")), &PlotData::Scatter { groups, n_rows: 4 });

    let folder = Folder::new();
    let mut text = "x,y\n".to_owned();
    (0..60_000).for_each(|i| text.push_str(&format!("{i},{}\n", i * 2)));
    let source = folder.write("long.csv", text);
    let data = plot(&source, spec(None)).unwrap();
    let PlotData::Scatter { groups, n_rows } = &data else { panic!() };
    assert_eq!((groups.len(), groups[0].1.len(), *n_rows), (1, 5_000, 60_000));
    assert!(groups[0].1.windows(2).all(|pair| pair[0][0] < pair[1][0]), "each row once, in order");
    assert!(groups[0].1.iter().all(|[x, y]| *y == 2.0 * x));
    let first_half = groups[0].1.iter().filter(|[x, _]| *x < 30_000.0).count();
    assert!((2_300..2_700).contains(&first_half), "{first_half}");
    assert_eq!(plot(&source, spec(None)).unwrap(), data, "the same table gives the same points");
}

#[test]
fn a_line_is_the_mean_along_the_other_column() {
    let spec = |group: Option<&str>| PlotSpec::Line { x: name("x"), y: name("y"), group: group.map(name) };
    let text = "x,y,g\n2,10,a\n1,1,a\n2,20,b\n1,3,b\n,9,a\n3,,a\n";
    let one = vec![(String::new(), vec![[1.0, 2.0], [2.0, 15.0]])];
    check(text, spec(None), &PlotData::Line { groups: one });
    let two = vec![(name("a"), vec![[1.0, 1.0], [2.0, 10.0]]), (name("b"), vec![[1.0, 3.0], [2.0, 20.0]])];
    check(text, spec(Some("g")), &PlotData::Line { groups: two });

    // 4,000 values in 1,000 buckets of 4, but for the ends: the greatest value belongs to the last one.
    let folder = Folder::new();
    let mut text = "x,y\n".to_owned();
    (0..=4_000).for_each(|i| text.push_str(&format!("{i},{}\n", i % 4)));
    let PlotData::Line { groups } = plot(&folder.write("t.csv", text), spec(None)).unwrap() else { panic!() };
    let line = &groups[0].1;
    assert_eq!((line.len(), line[0], line[500]), (1_000, [1.5, 1.5], [2001.5, 1.5]));
    assert_eq!(line[999], [3998.0, 6.0 / 5.0]);
    assert!(line.windows(2).all(|pair| pair[0][0] < pair[1][0]));
}

#[test]
fn correlations_are_pearsons() {
    let columns = |list: &[&str]| PlotSpec::Correlation { columns: list.iter().map(|&one| name(one)).collect() };
    // r of 1 2 3 4 and 1 3 2 4: covariance 4/4·…: Σdxdy = 4, Σdx² = Σdy² = 5, so 0.8.
    let text = "a,b,c,same,word\n1,1,-1,7,p\n2,3,-2,7,q\n3,2,-3,7,r\n4,4,-4,7,s\n";
    let folder = Folder::new();
    for source in both(&folder, text) {
        let PlotData::Correlation { columns: found, values, n_rows } = plot(&source, columns(&[])).unwrap() else {
            panic!()
        };
        assert_eq!(found, ["a", "b", "c", "same"], "text is left out");
        assert_eq!(n_rows, 4);
        let expect = [
            [Some(1.0), Some(0.8), Some(-1.0), None],
            [Some(0.8), Some(1.0), Some(-0.8), None],
            [Some(-1.0), Some(-0.8), Some(1.0), None],
            [None; 4],
        ];
        for (row, expect) in values.iter().zip(&expect) {
            for (value, expect) in row.iter().zip(expect) {
                let near = match (value, expect) {
                    (Some(value), Some(expect)) => (value - expect).abs() < 1e-12,
                    (value, expect) => value == expect,
                };
                assert!(near, "{values:?}");
            }
        }
        let err = plot(&source, columns(&["a", "word"])).unwrap_err();
        assert_eq!(err.to_string(), "column \"word\": a correlation needs numbers, this column holds text");
    }
    // Missing values take a row out of the pairs that they are in, and of no others.
    let source = folder.write("m.csv", "a,b,c\n1,1,5\n2,3,\n3,2,7\n4,4,\n,9,1\n");
    let PlotData::Correlation { values, n_rows, .. } = plot(&source, columns(&[])).unwrap() else { panic!() };
    assert!((values[0][1].unwrap() - 0.8).abs() < 1e-12, "{values:?}");
    assert!((values[0][2].unwrap() - 1.0).abs() < 1e-12, "two rows have both: {values:?}");
    assert_eq!(n_rows, 5);
    // Large offsets and widths do not spoil it.
    let mut text = "t,u,w\n".to_owned();
    for i in 0..3_000i64 {
        text.push_str(&format!("{},{},{}e300\n", 1_700_000_000_000 + i, (i * i) % 1_000, i * 7 % 500));
    }
    let PlotData::Correlation { values, .. } = plot(&folder.write("w.csv", text), columns(&[])).unwrap() else {
        panic!()
    };
    let naive = |f: &dyn Fn(f64) -> f64, g: &dyn Fn(f64) -> f64| {
        let rows: Vec<(f64, f64)> = (0..3_000).map(|i| (f(f64::from(i)), g(f64::from(i)))).collect();
        let n = rows.len() as f64;
        let (mx, my) = (rows.iter().map(|r| r.0).sum::<f64>() / n, rows.iter().map(|r| r.1).sum::<f64>() / n);
        let sum = |of: &dyn Fn(&(f64, f64)) -> f64| rows.iter().map(of).sum::<f64>();
        sum(&|r| (r.0 - mx) * (r.1 - my)) / (sum(&|r| (r.0 - mx).powi(2)) * sum(&|r| (r.1 - my).powi(2))).sqrt()
    };
    let (t, u, w) = (|i: f64| i, |i: f64| (i * i) % 1_000.0, |i: f64| i * 7.0 % 500.0);
    assert!((values[0][1].unwrap() - naive(&t, &u)).abs() < 1e-9, "{values:?}");
    assert!((values[1][2].unwrap() - naive(&u, &w)).abs() < 1e-9, "{values:?}");
}

#[test]
fn rare_groups_are_put_together() {
    let mut text = "v,g\n".to_owned();
    for i in 0..12 {
        (0..=i).for_each(|n| text.push_str(&format!("{n},g{i:02}\n")));
    }
    let folder = Folder::new();
    for source in both(&folder, &text) {
        let PlotData::Box { groups } =
            plot(&source, PlotSpec::Box { column: name("v"), group: Some(name("g")) }).unwrap()
        else {
            panic!()
        };
        let found: Vec<(&str, u64)> = groups.iter().map(|(name, stats)| (name.as_str(), stats.n)).collect();
        let expect: Vec<(String, u64)> = (4..12).rev().map(|i| (format!("g{i:02}"), i + 1)).collect();
        assert_eq!(found[..8].iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>(), expect);
        assert_eq!(found[8..], [("other", 1 + 2 + 3 + 4)]);
    }
    // Where a value has that name itself, the rest has another one.
    let text = text.replace("g11", "other");
    let PlotData::Box { groups } =
        plot(&folder.write("o.csv", text), PlotSpec::Box { column: name("v"), group: Some(name("g")) }).unwrap()
    else {
        panic!()
    };
    assert_eq!((groups[0].0.as_str(), groups[8].0.as_str()), ("other", "all others"));
}

#[test]
fn a_column_may_be_both_axis_and_group() {
    let folder = Folder::new();
    let source = folder.write("t.csv", "x\n1\n1\n2\n");
    let data = plot(&source, PlotSpec::Scatter { x: name("x"), y: name("x"), group: Some(name("x")) }).unwrap();
    let groups = vec![(name("1"), vec![[1.0, 1.0], [1.0, 1.0]]), (name("2"), vec![[2.0, 2.0]])];
    assert_eq!(data, PlotData::Scatter { groups, n_rows: 3 });
}

#[test]
fn a_column_whose_type_changes_late_is_told_of() {
    let folder = Folder::new();
    let mut text = "x,g\n".to_owned();
    (0..20_000).for_each(|i| text.push_str(&format!("{i},{}\n", i % 2)));
    let late_text = folder.write("text.csv", format!("{text}many,1\n"));
    let err = plot(&late_text, histogram("x", 2, Some("g"))).unwrap_err();
    assert_eq!(err.to_string(), "column \"x\": a histogram needs numbers, this column holds text");
    // Whole numbers become floats: everything is read again, nothing counted twice.
    let late_float = folder.write("float.csv", format!("{text}20000.5,half\n"));
    let data = plot(&late_float, histogram("x", 2, Some("g"))).unwrap();
    let total: u64 = counts(&data).iter().flat_map(|(_, counts)| counts).sum();
    assert_eq!((total, counts(&data).len()), (20_001, 3));
}

#[test]
fn bad_questions_name_the_column() {
    let folder = Folder::new();
    let source = folder.write("t.csv", TABLE);
    let refused = |spec: PlotSpec| {
        let err = plot(&source, spec).unwrap_err();
        (err.code(), err.to_string())
    };
    let unknown = "there is no column \"z\" (did you mean \"x\" or \"y\"?)";
    let line = |x: &str, y: &str| PlotSpec::Line { x: name(x), y: name(y), group: None };
    assert_eq!(refused(line("x", "z")), (Code::InvalidArgument, name(unknown)));
    assert_eq!(refused(histogram("x", 2, Some("z"))).1, unknown);
    assert_eq!(refused(PlotSpec::Bar { column: name("z"), group: None }).1, unknown);
    assert_eq!(refused(line("kind", "y")).1, "column \"kind\": a line needs numbers, this column holds text");
    let words = PlotSpec::Box { column: name("kind"), group: None };
    assert_eq!(refused(words).1, "column \"kind\": a box plot needs numbers, this column holds text");
    for n_bins in [0, 1, 201, u32::MAX] {
        assert_eq!(refused(histogram("x", n_bins, None)).0, Code::InvalidArgument);
    }
    let many = PlotSpec::Correlation { columns: vec![name("nowhere"); 3] };
    assert_eq!(refused(many).0, Code::InvalidArgument);
    let text = folder.write("w.csv", "a\nx\n");
    assert_eq!(plot(&text, PlotSpec::Correlation { columns: vec![] }).unwrap_err().code(), Code::InvalidArgument);
    let wide = (0..70).map(|i| format!("c{i}")).collect::<Vec<_>>();
    let wide_source = folder.write("wide.csv", format!("{}\n{}\n", wide.join(","), vec!["1"; 70].join(",")));
    assert_eq!(plot(&wide_source, PlotSpec::Correlation { columns: wide }).unwrap_err().code(), Code::InvalidArgument);
    let all = plot(&wide_source, PlotSpec::Correlation { columns: vec![] }).unwrap();
    assert!(matches!(all, PlotData::Correlation { ref columns, .. } if columns.len() == 60));

    let opened = open(&source).unwrap();
    let err = opened.plot(&histogram("x", 2, None), &|| true).unwrap_err();
    assert_eq!(err.code(), Code::Cancelled);
    std::fs::remove_file(folder.path("t.csv")).unwrap();
    assert!(opened.plot(&histogram("x", 2, None), &|| false).is_err());
}

#[test]
fn a_table_without_rows_has_empty_plots() {
    let folder = Folder::new();
    let none = || {
        Frame::new(vec![
            Column { name: "x".into(), data: ColumnData::Float(vec![]) },
            Column { name: "g".into(), data: ColumnData::Text(vec![]) },
        ])
    };
    let mut writer = TableWriter::create(&folder.path("t.parquet")).unwrap();
    writer.write(&none().unwrap()).unwrap();
    writer.finish().unwrap();
    let source = folder.source("t.parquet");
    let empty = |spec: PlotSpec| plot(&source, spec).unwrap();
    let group = || Some(name("g"));
    assert_eq!(counts(&empty(histogram("x", 2, None))), [(String::new(), vec![])]);
    assert_eq!(counts(&empty(histogram("x", 2, Some("g")))), []);
    let bar = empty(PlotSpec::Bar { column: name("g"), group: group() });
    assert_eq!(bar, PlotData::Bar { values: vec![], groups: vec![], n_other: 0, n_missing: 0 });
    assert_eq!(empty(PlotSpec::Box { column: name("x"), group: None }), PlotData::Box { groups: vec![] });
    let scatter = empty(PlotSpec::Scatter { x: name("x"), y: name("x"), group: group() });
    assert_eq!(scatter, PlotData::Scatter { groups: vec![], n_rows: 0 });
    let line = empty(PlotSpec::Line { x: name("x"), y: name("x"), group: None });
    assert_eq!(line, PlotData::Line { groups: vec![(String::new(), vec![])] });
    let correlation = empty(PlotSpec::Correlation { columns: vec![] });
    assert_eq!(correlation, PlotData::Correlation { columns: vec![name("x")], values: vec![vec![None]], n_rows: 0 });
}
