//! Questions are frozen before the first result; what is asked later is told as such, whatever becomes of the files.
use crate::cli::Desk;
use crate::interruptions::{TINY, run_to_the_end};
use std::collections::BTreeMap;
use std::fs;

/// Who was held against whom on what, and whether that was `declared` or `exploratory`, as `comparisons.csv` tells it.
fn asked(desk: &Desk, results: &str) -> BTreeMap<String, String> {
    let mut table = csv::Reader::from_path(desk.path().join(results).join("comparisons.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = table.deserialize().collect::<Result<_, _>>().unwrap();
    let name = |row: &BTreeMap<String, String>| format!("{} {}", row["metric"], row["baseline"]);
    rows.iter().map(|row| (name(row), row["asked"].clone())).collect()
}

#[test]
fn a_question_that_is_added_after_the_first_result_is_exploratory_for_good() {
    let desk = Desk::new();
    let results = desk.path().join("r");
    desk.experiment("tiny", TINY);
    run_to_the_end(&desk, "r");
    let told = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(question, asked)| (question.to_string(), asked.to_string())).collect()
    };
    assert_eq!(asked(&desk, "r"), told(&[("acc one_shot_recover", "declared")]));

    let late = "\n[[comparisons]]\nvariant = \"pruning_aware\"\nbaseline = \"one_shot\"\nmetric = \"acc\"\n";
    desk.experiment("tiny", &format!("{TINY}{late}"));
    run_to_the_end(&desk, "r");
    let both = told(&[("acc one_shot_recover", "declared"), ("acc one_shot", "exploratory")]);
    assert_eq!(asked(&desk, "r"), both);

    // Without the list nobody can tell what was asked before: nothing counts as declared, and that is said.
    let none = told(&[("acc one_shot_recover", "exploratory"), ("acc one_shot", "exploratory")]);
    let plan = results.join("plan.json");
    let whole = fs::read_to_string(&plan).unwrap();
    let copy = |to: &str| {
        let output =
            std::process::Command::new("cp").arg("-r").arg(&results).arg(desk.path().join(to)).output();
        assert!(output.unwrap().status.success());
        desk.path().join(to)
    };
    let again = |name: &str| {
        let shown = desk.show(&["run", "experiments/tiny", "--results", name]);
        assert!(shown.contains("exit code 0"), "{shown}");
        assert!(shown.contains("all count as exploratory"), "{shown}");
        assert_eq!(asked(&desk, name), none, "{name}");
    };
    fs::remove_file(copy("deleted").join("plan.json")).unwrap();
    again("deleted");
    let emptied = copy("emptied");
    for name in ["plan.json", "SHA256SUMS", "runs.csv", "evals.csv"] {
        fs::remove_file(emptied.join(name)).unwrap();
    }
    // `plan` does not freeze them anew beside what was scored.
    let shown = desk.show(&["plan", "experiments/tiny", "--results", "emptied"]);
    assert!(shown.contains("plan not written") && !emptied.join("plan.json").exists(), "{shown}");
    again("emptied");
    let changed = copy("changed");
    fs::write(changed.join("plan.json"), whole.replace("one_shot_recover", "one_shot_recovers")).unwrap();
    again("changed");
}
