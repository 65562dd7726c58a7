//! Finding and listing runs.

use athanor_protocol::{Code, metric::Split, run::RunStatus};
use athanor_store::{PageRequest, RunQuery, RunSort, Store};

use super::code;
use crate::help::{id, metrics, new_run, owner, point};

pub fn runs_are_found_by_prefix(a: &dyn Store, b: &dyn Store) {
    for n in [1, 12, 13] {
        a.create_run(&new_run(n)).unwrap();
    }
    let zeros = "0".repeat(24);
    let check = |prefix: String, expect: Result<u32, Code>| {
        assert_eq!(b.resolve_run(&prefix).map_err(|err| err.code()), expect.map(id), "{prefix:?}");
    };
    check(format!("{zeros}01"), Ok(1));
    check(format!("{zeros}0"), Ok(1));
    check(format!("{zeros}12"), Ok(12));
    check(format!("{zeros}1"), Err(Code::Conflict));
    check("0".into(), Err(Code::Conflict));
    check("1".into(), Err(Code::NotFound));
    for bad in ["", "%", "_", "../x", "A", "0\0", &"0".repeat(27), "é"] {
        check(bad.into(), Err(Code::InvalidArgument));
    }
}

pub fn lists_are_filtered(a: &dyn Store, b: &dyn Store) {
    for (n, workflow) in [(1, "Wine"), (2, "digits"), (3, "100%_done")] {
        let mut run = new_run(n);
        run.workflow = workflow.to_owned();
        a.create_run(&run).unwrap();
    }
    a.set_tag(&id(2), "purpose", "WINE paper").unwrap();
    a.request_cancel(&id(3), "no", 2_000).unwrap();
    let check = |query: RunQuery, expect: &[u32]| {
        let found: Vec<_> = b.list_runs(&query).unwrap().items.into_iter().map(|run| run.id).collect();
        assert_eq!(found, expect.iter().map(|n| id(*n)).collect::<Vec<_>>(), "{query:?}");
    };
    let text = |text: &str| RunQuery { text: Some(text.to_owned()), ..RunQuery::default() };
    check(RunQuery::default(), &[3, 2, 1]);
    check(text(""), &[3, 2, 1]);
    check(text("wine"), &[2, 1]);
    check(text("purpose"), &[2]);
    check(text("%"), &[3]);
    check(text("0%_d"), &[3]);
    check(text(id(1).as_str()), &[1]);
    check(text("' OR 1=1 --"), &[]);
    check(RunQuery { workflow: Some("Wine".into()), ..RunQuery::default() }, &[1]);
    check(RunQuery { workflow: Some("win".into()), ..RunQuery::default() }, &[]);
    check(RunQuery { status: vec![RunStatus::Cancelled], ..RunQuery::default() }, &[3]);
    check(RunQuery { status: vec![RunStatus::Cancelled, RunStatus::Queued], ..RunQuery::default() }, &[3, 2, 1]);
    check(RunQuery { status: vec![RunStatus::Queued], ..text("wine") }, &[2, 1]);
    check(RunQuery { status: vec![RunStatus::Running], ..RunQuery::default() }, &[]);
}

pub fn every_order_pages_without_gap_or_repeat(a: &dyn Store, b: &dyn Store) {
    let values =
        [Some(0.5), None, Some(f64::NAN), Some(-2.0), Some(0.5), Some(f64::INFINITY), None, Some(7.5), Some(0.0)];
    for (n, value) in (1..).zip(values) {
        let mut run = new_run(n);
        // Ties everywhere.
        run.created_at_millis = i64::from(n / 3);
        a.create_run(&run).unwrap();
        a.start_attempt(&id(n), 1, &owner(), 1_000).unwrap();
        if let Some(value) = value {
            a.record(&id(n), 1, 1, &metrics(vec![point("loss", 0, value)])).unwrap();
        }
        if n % 4 != 0 {
            a.finish(&id(n), 1, RunStatus::Finished, None, false, 1_000 + i64::from(n % 3)).unwrap();
        }
    }
    let metric = RunSort::Metric { key: "loss".into(), split: Split::Train };
    for sort in [RunSort::Created, RunSort::Duration, metric.clone()] {
        for descending in [false, true] {
            let query = |page| RunQuery { sort: sort.clone(), descending, page, ..RunQuery::default() };
            let whole = b.list_runs(&query(PageRequest::first(100))).unwrap();
            assert_eq!((whole.items.len(), whole.next), (9, None));
            for size in 1..9 {
                let mut found = vec![];
                let mut request = PageRequest::first(size);
                loop {
                    let page = b.list_runs(&query(request)).unwrap();
                    found.extend(page.items);
                    match page.next {
                        Some(next) => request = PageRequest::after(size, next),
                        None => break,
                    }
                }
                assert_eq!(found, whole.items, "{sort:?} {descending} in pages of {size}");
            }
        }
    }
    let order = |sort: RunSort, descending| -> Vec<u32> {
        let query = RunQuery { sort, descending, page: PageRequest::first(100), ..RunQuery::default() };
        b.list_runs(&query).unwrap().items.iter().map(|run| run.id.as_str().parse().unwrap()).collect()
    };
    assert_eq!(order(metric.clone(), false), [4, 9, 1, 5, 8, 3, 6, 2, 7]);
    assert_eq!(order(metric.clone(), true), [8, 5, 1, 9, 4, 6, 3, 7, 2]);
    assert_eq!(order(RunSort::Created, false), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(order(RunSort::Duration, true), [5, 2, 7, 1, 9, 6, 3, 8, 4]);
    // A token of one order is refused by another.
    let first = RunQuery { sort: metric, page: PageRequest::first(2), ..RunQuery::default() };
    let token = b.list_runs(&first).unwrap().next.unwrap();
    let other = RunQuery { page: PageRequest::after(2, token), ..RunQuery::default() };
    assert_eq!(code(b.list_runs(&other)), Code::InvalidArgument);
}

pub fn a_page_of_runs_says_what_its_steps_were_set_to(a: &dyn Store, b: &dyn Store) {
    for n in 1..=3 {
        let mut run = new_run(n);
        for (step, kind) in run.steps.iter_mut().zip(["table.open", "train.mlp", "train.trees"]) {
            step.kind = kind.to_owned();
        }
        let long = "x".repeat(1_000);
        let params =
            [("train.epochs", "40"), ("train.hidden", &long), ("train-2.epochs", "1"), ("trainer.epochs", "2")];
        run.params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        a.create_run(&run).unwrap();
    }
    let found = b.step_settings(&[id(3), id(1), id(9)], "train.").unwrap();
    let shown: Vec<_> = found.iter().map(|step| (&step.run, step.node.as_str(), step.kind.as_str())).collect();
    let (first, third) = (id(1), id(3));
    assert_eq!(
        shown,
        [
            (&first, "train", "train.mlp"),
            (&first, "another", "train.trees"),
            (&third, "train", "train.mlp"),
            (&third, "another", "train.trees"),
        ]
    );
    let cut = "x".repeat(athanor_store::limits::SHOWN_VALUE_CHARS);
    assert_eq!(found[0].params, [("train.epochs".to_owned(), "40".to_owned()), ("train.hidden".to_owned(), cut)]);
    assert!(found[1].params.is_empty());
    assert!(b.step_settings(&[], "train.").unwrap().is_empty());
    assert_eq!(b.summary(&id(2)).unwrap(), b.run(&id(2)).unwrap().summary);
    assert_eq!(code(b.summary(&id(9))), Code::NotFound);
}
