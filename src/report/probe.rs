//! What `efficientllm probe` left beside the tables: how well each saliency rule predicts what removing a group does.
use super::{ReportError, Result};
use crate::record::RecordError;
use crate::record::dictionary::{PROBE, PROBE_GROUPS};
use crate::stats::correlation::ranks;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// A row of `probe.csv`: one rule on one type of groups.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ProbedRule {
    pub rule: String,
    pub fisher_unit: Option<String>,
    #[serde(rename = "type")]
    pub group_type: String,
    pub layers: u64,
    pub groups: u64,
    pub calibrations: u64,
    /// `None` where scores or changes of loss are all alike.
    pub spearman: Option<f64>,
    pub spearman_low: Option<f64>,
    pub spearman_high: Option<f64>,
    /// `None` where no layer has four groups.
    pub lowest_quarter_delta: Option<f64>,
    pub oracle_quarter_delta: Option<f64>,
}

/// A row of `probe_groups.csv`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct ProbedGroup {
    rule: String,
    fisher_unit: Option<String>,
    calibration: u64,
    #[serde(rename = "type")]
    group_type: String,
    layer: u64,
    score: f64,
    delta_loss: f64,
}

/// Both tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probe {
    pub rules: Vec<ProbedRule>,
    groups: Vec<ProbedGroup>,
}

impl ProbedRule {
    /// The rule, with the unit of its squares where it has any.
    pub fn name(&self) -> String {
        let unit = self.fisher_unit.as_ref().map_or(String::new(), |unit| format!(" ({unit})"));
        format!("{}{unit}", self.rule)
    }
}

impl Probe {
    /// The tables in `results_dir`; `None` where nothing was probed.
    ///
    /// # Errors
    /// A table that cannot be read, with file and line of the fault.
    pub fn read(results_dir: &Path) -> Result<Option<Probe>> {
        let Some(rules) = read_table(&results_dir.join(PROBE))? else { return Ok(None) };
        let groups = read_table(&results_dir.join(PROBE_GROUPS))?.unwrap_or_default();
        Ok(Some(Probe { rules, groups }))
    }

    /// The types of groups, in order of first mention.
    pub fn types(&self) -> Vec<&str> {
        let mut types: Vec<&str> = Vec::new();
        for rule in &self.rules {
            if !types.contains(&rule.group_type.as_str()) {
                types.push(&rule.group_type);
            }
        }
        types
    }

    /// The rules on groups of `group_type`, the best predictor first.
    pub fn ranked(&self, group_type: &str) -> Vec<&ProbedRule> {
        let mut rules: Vec<&ProbedRule> = self.rules.iter().filter(|r| r.group_type == group_type).collect();
        let value = |rule: &ProbedRule| rule.spearman.unwrap_or(f64::NEG_INFINITY);
        rules.sort_by(|a, b| value(b).total_cmp(&value(a)));
        rules
    }

    /// Of every group that `rule` scored on the first calibration set: its place in the rule's order of its layer, in per cent
    /// (0: removed first), and the change of loss that removing it made; ascending.
    pub fn predicted(&self, rule: &ProbedRule) -> Vec<(f64, f64)> {
        let mut layers: BTreeMap<u64, Vec<&ProbedGroup>> = BTreeMap::new();
        let of_rule = |group: &&ProbedGroup| {
            group.calibration == 0
                && (&group.rule, &group.fisher_unit, &group.group_type)
                    == (&rule.rule, &rule.fisher_unit, &rule.group_type)
        };
        for group in self.groups.iter().filter(of_rule) {
            layers.entry(group.layer).or_default().push(group);
        }
        let of_layer = |groups: Vec<&ProbedGroup>| {
            let places = ranks(&groups.iter().map(|group| group.score).collect::<Vec<_>>());
            let count = groups.len() as f64;
            let point =
                move |(place, group): (f64, &ProbedGroup)| (100.0 * (place - 0.5) / count, group.delta_loss);
            places.into_iter().zip(groups).map(point).collect::<Vec<_>>()
        };
        let mut points: Vec<(f64, f64)> = layers.into_values().flat_map(of_layer).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        points
    }
}

/// The rows of a table; `None` where there is no such file.
fn read_table<T: DeserializeOwned>(path: &Path) -> Result<Option<Vec<T>>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ReportError::Io { path: path.to_path_buf(), source }),
    };
    let fault = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        RecordError::Row { path: path.to_path_buf(), line, message: error.to_string() }
    };
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let rows = reader.deserialize().collect::<std::result::Result<Vec<T>, _>>();
    Ok(Some(rows.map_err(fault)?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two rules on two layers of 20 groups: one that knows the change of loss, one that has it upside down.
    pub fn write(folder: &Path) {
        let mut rules = "rule,fisher_unit,type,layers,groups,calibrations,spearman,spearman_low,spearman_high,lowest_quarter_delta,oracle_quarter_delta\n".to_string();
        let mut groups = "rule,fisher_unit,calibration,type,layer,index,score,delta_loss\n".to_string();
        for (rule, unit, rho) in [("magnitude_l2", "", -1.0), ("fisher_group", "position", 1.0)] {
            rules += &format!("{rule},{unit},ffn,2,40,1,{rho},{},{},0.1,0.05\n", rho - 0.1, rho + 0.1);
            for layer in 0..2 {
                for index in 0..20 {
                    let delta = 0.001 * f64::from(index * index) - 0.01;
                    groups += &format!("{rule},{unit},0,ffn,{layer},{index},{},{delta}\n", rho * delta);
                }
            }
        }
        std::fs::write(folder.join(PROBE), rules).unwrap();
        std::fs::write(folder.join(PROBE_GROUPS), groups).unwrap();
    }

    #[test]
    fn groups_stand_at_their_places_in_the_order_of_the_rule() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Probe::read(folder.path()).unwrap(), None);
        write(folder.path());
        let probe = Probe::read(folder.path()).unwrap().unwrap();
        let ranked: Vec<String> = probe.ranked("ffn").into_iter().map(ProbedRule::name).collect();
        assert_eq!(ranked, ["fisher_group (position)", "magnitude_l2"]);
        let (knows, reversed) = (probe.predicted(&probe.rules[1]), probe.predicted(&probe.rules[0]));
        assert_eq!((knows.len(), knows[0].0, knows[39].0), (40, 2.5, 97.5));
        assert!(knows.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert!(reversed.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }

    #[test]
    fn a_damaged_table_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let path = folder.path().join(PROBE_GROUPS);
        let text = std::fs::read_to_string(&path).unwrap().replacen(",ffn,0,1,", ",ffn,zero,1,", 1);
        std::fs::write(&path, text).unwrap();
        let message = Probe::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("probe_groups.csv: line 3:"), "{message}");
    }
}
