//! From a decimated series to what a plot draws: the chosen x axis, logarithm, smoothing, gaps.

use std::ops::Range;

use athanor_protocol::api::Series;

/// What stands on the x axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum XAxis {
    /// Optimisation steps.
    #[default]
    Step,
    /// Epochs.
    Epoch,
    /// Seconds since the series began.
    Time,
}

/// How curves are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Look {
    /// The x axis.
    pub(super) x: XAxis,
    /// A logarithmic y axis.
    pub(super) log: bool,
    /// Weight of what was before, from 0 (none) to below 1.
    pub(super) smoothing: f32,
}

/// A bucket on the plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dot {
    /// Where.
    pub(super) x: f64,
    /// The last value, as it is drawn.
    pub(super) y: f64,
    /// The least value, as it is drawn.
    pub(super) low: f64,
    /// The greatest value, as it is drawn.
    pub(super) high: f64,
    /// The smoothed value, as it is drawn; the same as `y` without smoothing.
    pub(super) smooth: f64,
}

/// A series ready for drawing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Drawn {
    /// Buckets with a value, by x.
    pub(super) dots: Vec<Dot>,
    /// Which dots are joined: a gap lies between two pieces.
    pub(super) pieces: Vec<Range<usize>>,
    /// Where values are not finite, and how many.
    pub(super) holes: Vec<(f64, u64)>,
    /// Values that are not finite, in all.
    pub(super) n_non_finite: u64,
    /// Buckets that a logarithmic axis cannot show.
    pub(super) n_not_positive: u64,
    /// Points in all.
    pub(super) n_points: u64,
    /// Least and greatest x, least and greatest y.
    pub(super) bounds: Option<([f64; 2], [f64; 2])>,
    /// The x axis is one that the series does not have.
    pub(super) lacks_x: bool,
}

impl Drawn {
    /// The dot at or before `x`; the first one where none is.
    pub(super) fn at(&self, x: f64) -> Option<&Dot> {
        let after = self.dots.partition_point(|dot| dot.x <= x);
        self.dots.get(after.saturating_sub(1))
    }
}

/// Makes a series ready for drawing.
pub(super) fn derive(series: &Series, look: Look) -> Drawn {
    let mut drawn = Drawn::default();
    if look.x == XAxis::Epoch && series.epochs.len() != series.buckets.len() {
        drawn.lacks_x = !series.buckets.is_empty();
        return drawn;
    }
    let origin = series.times.first().map_or(0, |times| times[0]);
    let scale = |value: f64| if look.log { value.log10() } else { value };
    let weight = f64::from(look.smoothing.clamp(0.0, 0.999));
    let (mut mean, mut trust) = (0.0, 1.0);
    let (mut began, mut broken) = (0, false);
    drawn.dots.reserve(series.buckets.len());
    let mut last_x = f64::NEG_INFINITY;
    for (at, bucket) in series.buckets.iter().enumerate() {
        drawn.n_points += bucket.n_points;
        let x = match look.x {
            XAxis::Step => bucket.step_max as f64,
            XAxis::Epoch => series.epochs[at],
            XAxis::Time => series.times.get(at).map_or(f64::NAN, |times| (times[1] - origin) as f64 / 1000.0),
        };
        if !x.is_finite() {
            continue;
        }
        // A clock that was set back, or an epoch that begins again after a resume, never turns the line round.
        let x = x.max(last_x);
        last_x = x;
        if bucket.n_non_finite > 0 {
            drawn.n_non_finite += bucket.n_non_finite;
            drawn.holes.push((x, bucket.n_non_finite));
            broken = true;
        }
        let (Some(min), Some(max), Some(last)) = (bucket.min, bucket.max, bucket.last) else { continue };
        mean = mean * weight + (1.0 - weight) * last;
        trust *= weight;
        let smooth = mean / (1.0 - trust);
        if look.log && (max <= 0.0 || last <= 0.0) {
            drawn.n_not_positive += 1;
            broken = true;
            continue;
        }
        if broken {
            drawn.pieces.push(began..drawn.dots.len());
            began = drawn.dots.len();
            broken = false;
        }
        let low = if look.log && min <= 0.0 { last } else { min };
        let smooth = if look.log && smooth <= 0.0 { last } else { smooth };
        let dot = Dot { x, y: scale(last), low: scale(low), high: scale(max), smooth: scale(smooth) };
        let bounds = drawn.bounds.get_or_insert(([x, x], [dot.low, dot.high]));
        bounds.0[1] = x;
        bounds.1 = [bounds.1[0].min(dot.low), bounds.1[1].max(dot.high)];
        drawn.dots.push(dot);
    }
    drawn.pieces.push(began..drawn.dots.len());
    drawn.pieces.retain(|piece| !piece.is_empty());
    drawn
}

#[cfg(test)]
mod tests {
    use athanor_protocol::{
        api::{Series, SeriesKey},
        metric::Split,
        names::RunId,
        run::SeriesBucket,
    };

    use super::*;

    fn series(values: &[f64]) -> Series {
        let key = SeriesKey { run: RunId::new("0".repeat(26)).unwrap(), key: "loss".to_owned(), split: Split::Valid };
        let bucket = |(at, &value): (usize, &f64)| {
            let finite = value.is_finite().then_some(value);
            SeriesBucket {
                step_min: at as u64,
                step_max: at as u64,
                min: finite,
                max: finite,
                last: finite,
                n_points: 1,
                n_non_finite: u64::from(!value.is_finite()),
            }
        };
        let buckets: Vec<_> = values.iter().enumerate().map(bucket).collect();
        let times = (0..values.len() as i64).map(|at| [1000 + at * 500, 1000 + at * 500]).collect();
        Series { key, buckets, times, epochs: vec![] }
    }

    fn look(log: bool, smoothing: f32) -> Look {
        Look { x: XAxis::Step, log, smoothing }
    }

    #[test]
    fn a_gap_lies_where_values_are_not_finite_and_says_how_many() {
        let drawn = derive(&series(&[1.0, 2.0, f64::NAN, 3.0, f64::INFINITY, f64::NAN, 4.0]), look(false, 0.0));
        assert_eq!(drawn.pieces, [0..2, 2..3, 3..4]);
        assert_eq!(drawn.holes, [(2.0, 1), (4.0, 1), (5.0, 1)]);
        assert_eq!(drawn.n_non_finite, 3);
        assert_eq!(drawn.bounds, Some(([0.0, 6.0], [1.0, 4.0])));
    }

    #[test]
    fn series_of_nothing_of_one_point_and_of_no_number_are_drawn_as_such() {
        for (values, n_dots, n_holes) in
            [(&[][..], 0, 0), (&[0.5][..], 1, 0), (&[f64::NAN, f64::NAN][..], 0, 2), (&[f64::NAN, 1.0][..], 1, 1)]
        {
            for log in [false, true] {
                let drawn = derive(&series(values), look(log, 0.6));
                assert_eq!((drawn.dots.len(), drawn.holes.len()), (n_dots, n_holes), "{values:?}");
                assert_eq!(drawn.bounds.is_some(), n_dots > 0);
                assert!(drawn.pieces.iter().all(|piece| piece.end <= drawn.dots.len()));
            }
        }
    }

    #[test]
    fn a_logarithmic_axis_leaves_out_what_is_not_positive() {
        let drawn = derive(&series(&[100.0, 0.0, -5.0, 10.0]), look(true, 0.0));
        assert_eq!(drawn.dots.iter().map(|dot| dot.y).collect::<Vec<_>>(), [2.0, 1.0]);
        assert_eq!((drawn.n_not_positive, drawn.pieces.len()), (2, 2));
    }

    #[test]
    fn smoothing_begins_at_the_first_value_and_keeps_constants() {
        let drawn = derive(&series(&[4.0; 20]), look(false, 0.9));
        assert!(drawn.dots.iter().all(|dot| (dot.smooth - 4.0).abs() < 1e-9));
        let drawn = derive(&series(&[0.0, 1.0, 1.0]), look(false, 0.5));
        let smooth: Vec<f64> = drawn.dots.iter().map(|dot| dot.smooth).collect();
        assert!(smooth[0].abs() < 1e-9 && smooth[1] > 0.5 && smooth[2] > smooth[1] && smooth[2] < 1.0, "{smooth:?}");
    }

    #[test]
    fn time_counts_from_the_first_point_and_a_missing_axis_is_said() {
        let mut given = series(&[1.0, 2.0]);
        let drawn = derive(&given, Look { x: XAxis::Time, ..Look::default() });
        assert_eq!(drawn.dots.iter().map(|dot| dot.x).collect::<Vec<_>>(), [0.0, 0.5]);
        let epoch = Look { x: XAxis::Epoch, ..Look::default() };
        assert!(derive(&given, epoch).lacks_x);
        given.epochs = vec![1.0, 0.5];
        let drawn = derive(&given, epoch);
        assert_eq!(drawn.dots.iter().map(|dot| dot.x).collect::<Vec<_>>(), [1.0, 1.0]);
        assert_eq!(drawn.at(0.2).map(|dot| dot.y), Some(1.0));
        assert_eq!(drawn.at(9.0).map(|dot| dot.y), Some(2.0));
    }
}
