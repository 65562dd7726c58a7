//! The curve of a training beside its checkpoints: points are in a file before the checkpoint that comes after them, so
//! that neither a killed worker nor a killed supervisor leaves a hole in a resumed run's curve.
//!
//! One file for each attempt: first a line with the step that the attempt began from, then lines of points. The file's
//! bytes are with the system when [`History::add`] returns, which is all that a killed process needs; only a machine
//! that loses power may lose the last of them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use athanor_protocol::metric::{MetricPoint, Split};

use crate::{
    error::{IoContext, Result},
    files,
};

/// Longer histories are not read back; a curve of that length is cut at its beginning rather than memory filled.
const MAX_BYTES: u64 = 1 << 30;

/// Writes one attempt's points.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    file: File,
}

impl History {
    /// Begins an attempt that goes on from a step (0 where it begins anew), and returns the points that earlier attempts
    /// left up to that step, sorted by series and step.
    ///
    /// # Errors
    /// If the file cannot be made. What earlier attempts left is read as far as it is whole.
    pub fn begin(folder: &Path, attempt: u32, from_step: u64) -> Result<(Self, Vec<MetricPoint>)> {
        fs::create_dir_all(folder).at("create", folder)?;
        let earlier = merge(folder, attempt, from_step);
        let path = folder.join(format!("{attempt}.jsonl"));
        let mut file = File::create(&path).at("create", &path)?;
        writeln!(file, "{from_step}").at("write", &path)?;
        Ok((Self { path, file }, earlier))
    }

    /// Adds points.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn add(&mut self, points: &[MetricPoint]) -> Result<()> {
        let mut line = serde_json::to_vec(points).map_err(std::io::Error::from).at("write", &self.path)?;
        line.push(b'\n');
        self.file.write_all(&line).at("write", &self.path)
    }
}

fn merge(folder: &Path, attempt: u32, from_step: u64) -> Vec<MetricPoint> {
    let mut points: BTreeMap<(String, Split, u64), MetricPoint> = BTreeMap::new();
    let keep_until = |points: &mut BTreeMap<(String, Split, u64), MetricPoint>, step: u64| {
        points.retain(|(_, _, at), _| *at <= step);
    };
    for earlier in 1..attempt {
        let Ok(bytes) = files::read_limited(&folder.join(format!("{earlier}.jsonl")), MAX_BYTES) else { continue };
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let first = lines.next().and_then(|line| serde_json::from_slice::<u64>(line).ok());
        keep_until(&mut points, first.unwrap_or(0));
        // A line that a kill cut off is the last one, and no checkpoint stands on it.
        for line in lines.map_while(|line| serde_json::from_slice::<Vec<MetricPoint>>(line).ok()) {
            points.extend(line.into_iter().map(|point| ((point.key.clone(), point.split, point.step), point)));
        }
    }
    keep_until(&mut points, from_step);
    points.into_values().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn point(step: u64, value: f64) -> MetricPoint {
        MetricPoint { key: "loss".into(), split: Split::Train, step, at_millis: 0, value: value.into() }
    }

    fn curve(points: &[MetricPoint]) -> String {
        points.iter().map(|point| format!("{}:{}", point.step, point.value)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn attempts_follow_each_other_without_holes_or_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, earlier) = History::begin(folder.path(), 1, 0).unwrap();
        assert_eq!(curve(&earlier), "");
        first.add(&[point(1, 1.0), point(2, 2.0)]).unwrap();
        first.add(&[point(3, 3.0), point(4, 4.0)]).unwrap();
        // The checkpoint was at step 2: what came after is computed again.
        let (mut second, earlier) = History::begin(folder.path(), 2, 2).unwrap();
        assert_eq!(curve(&earlier), "1:1 2:2");
        second.add(&[point(3, 30.0)]).unwrap();
        second.file.write_all(b"[{\"key\":\"lo").unwrap();
        let (_, earlier) = History::begin(folder.path(), 3, 3).unwrap();
        assert_eq!(curve(&earlier), "1:1 2:2 3:30");
        // An attempt that found no checkpoint begins anew.
        let (_, earlier) = History::begin(folder.path(), 4, 0).unwrap();
        assert_eq!(curve(&earlier), "");
    }
}
