//! Made-up evaluations: of two classes, of three, and of a number.

use athanor_protocol::{
    api::{
        CalibrationView, ClassCurvesView, CurvePointView, EvaluationView, Importance, ReportView, ReportsAnswer,
        WorstRow,
    },
    signature::Task,
    table::Bin,
};

use super::series::mixed;

fn curve(power: f64) -> Vec<CurvePointView> {
    let point = |at: u32| {
        let x = f64::from(at) / 60.0;
        CurvePointView { x, y: x.powf(power), threshold: (at > 0).then_some(1.0 - x) }
    };
    (0..=60).map(point).collect()
}

fn falling(mut points: Vec<CurvePointView>) -> Vec<CurvePointView> {
    for point in &mut points {
        point.y = 1.0 - 0.35 * point.x.powi(6);
    }
    points
}

fn curves_of(class: &str, power: f64) -> ClassCurvesView {
    ClassCurvesView {
        class: class.to_owned(),
        roc: curve(power),
        precision_recall: falling(curve(1.0)),
        roc_auc: 1.0 / (power + 1.0),
        average_precision: 0.95,
    }
}

fn importance() -> Vec<Importance> {
    let names = ["worst_radius", "worst_concave_points", "mean_texture", "worst_area", "mean_smoothness", "id_like"];
    let one = |(at, name): (usize, &&str)| Importance {
        column: (*name).to_owned(),
        mean: 0.12 / (at as f64 + 1.0) - 0.018,
        std: 0.008,
    };
    names.iter().enumerate().map(one).collect()
}

/// An evaluation of a model of two classes.
pub fn run_report_binary() -> ReportView {
    let classes = vec!["benign".to_owned(), "malignant".to_owned()];
    let metric = |key: &str, value: f64| (key.to_owned(), value.into());
    let worst = |row: u64| WorstRow {
        row,
        truth: classes[(row % 2) as usize].clone(),
        predicted: classes[((row + 1) % 2) as usize].clone(),
        loss: 3.4 / (row as f64 + 1.0),
        values: vec![
            ("worst_radius".to_owned(), Some(format!("{:.2}", 12.0 + row as f64))),
            ("mean_texture".to_owned(), (row != 2).then(|| format!("{:.2}", 17.0 + row as f64 / 3.0))),
            ("worst_area".to_owned(), Some(format!("{:.1}", 540.0 + 21.0 * row as f64))),
        ],
    };
    ReportView {
        version: 1,
        target: "diagnosis".to_owned(),
        task: Task::Binary,
        classes: classes.clone(),
        n_rows: 114,
        evaluation: EvaluationView {
            n_rows: 114,
            metrics: vec![
                metric("accuracy", 0.9825),
                metric("roc_auc", 0.9961),
                metric("f1", 0.9756),
                metric("log_loss", 0.0713),
                metric("brier", 0.0192),
                metric("mcc", 0.9623),
            ],
            classes: classes.clone(),
            confusion: Some(vec![vec![71, 1], vec![1, 41]]),
            curves: vec![curves_of("malignant", 0.04)],
            calibration: (0..10)
                .map(|at| {
                    let predicted = (f64::from(at) + 0.5) / 10.0;
                    CalibrationView {
                        predicted,
                        observed: (predicted * 1.08 - 0.05).clamp(0.0, 1.0),
                        count: 4 + 3 * at as u64,
                    }
                })
                .collect(),
            residuals: vec![],
        },
        importance: importance(),
        worst: (0..8).map(worst).collect(),
        pairs: vec![],
    }
}

/// An evaluation of a model of many classes.
pub fn run_report_multiclass(n: usize) -> ReportView {
    let classes: Vec<String> = (0..n).map(|at| format!("class {at}")).collect();
    let row = |truth: usize| {
        let cell = |predicted: usize| {
            if truth == predicted { 20 + mixed(truth as u64) % 40 } else { mixed((truth * n + predicted) as u64) % 3 }
        };
        (0..n).map(cell).collect()
    };
    let mut report = run_report_binary();
    report.task = Task::Multiclass;
    report.classes.clone_from(&classes);
    report.evaluation.confusion = Some((0..n).map(row).collect());
    report.evaluation.curves =
        classes.iter().enumerate().map(|(at, class)| curves_of(class, 0.03 + 0.02 * at as f64)).collect();
    report.evaluation.calibration.clear();
    report.evaluation.classes = classes;
    report
}

/// An evaluation of a model of a number.
pub fn run_report_regression() -> ReportView {
    let mut report = run_report_binary();
    report.task = Task::Regression;
    report.target = "price".to_owned();
    report.classes.clear();
    let evaluation = &mut report.evaluation;
    evaluation.classes.clear();
    evaluation.confusion = None;
    evaluation.curves.clear();
    evaluation.calibration.clear();
    evaluation.metrics =
        [("r2", 0.871), ("rmse", 2.94), ("mae", 2.11)].map(|(key, value)| (key.to_owned(), value.into())).to_vec();
    evaluation.residuals = (0..24)
        .map(|at| {
            let low = f64::from(at) - 12.0;
            Bin { low, high: low + 1.0, count: (60.0 * (-(low + 0.5).powi(2) / 14.0).exp()) as u64 }
        })
        .collect();
    report.pairs = (0..300u64)
        .map(|at| {
            let truth = 5.0 + (mixed(at) % 450) as f64 / 10.0;
            [truth, truth + (mixed(at + 1000) % 100) as f64 / 12.0 - 4.2]
        })
        .collect();
    report
}

/// The evaluations of a usual run.
pub fn run_reports() -> ReportsAnswer {
    ReportsAnswer { items: vec![("evaluate".to_owned(), run_report_binary())] }
}
