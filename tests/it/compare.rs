//! `efficientllm compare` as people meet it, on the results of a real run.
use crate::cli::Desk;

const TINY: &str = include_str!("../fixtures/tiny.toml");
/// Rows of what differs from run to run.
const TIMES: [&str; 2] = ["seconds", "peak_memory_bytes"];

/// The page without its numbers, whose last digits are the machine's, and without times: what stands in which order.
fn skeleton(page: &str) -> String {
    let numeric = |word: &&str| word.contains(|c: char| c.is_ascii_digit());
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.contains("  ") {
            // A row of a table or a list: what it is about.
            let label: Vec<&str> = words.iter().copied().take_while(|word| !numeric(word)).collect();
            return if label.len() == words.len() { label.join(" ") } else { label.join(" ") + " #" };
        }
        words.iter().map(|word| if numeric(word) { "#" } else { word }).collect::<Vec<_>>().join(" ")
    };
    let stays = |line: &&str| !TIMES.iter().any(|name| line.starts_with(name)) && !line.contains("---");
    let flips = |line: &&str| line.starts_with("  ") && line.contains(" → ");
    page.lines().filter(stays).filter(|l| !flips(l)).map(line).collect::<Vec<_>>().join("\n")
}

/// The page with what is equal on one line, without times: memory may happen to be equal.
fn unwrapped(page: &str) -> String {
    let Some((before, rest)) = page.split_once("\nEqual: ") else { return page.to_string() };
    let (equal, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let equal = equal.trim_end_matches('.').replace('\n', " ");
    let stays = |setting: &&str| !TIMES.iter().any(|name| setting.starts_with(name));
    let settings: Vec<&str> = equal.split(", ").filter(stays).collect();
    format!("{before}\nEqual: {}.\n\n{after}", settings.join(", "))
}

fn run_name(desk: &Desk, arm: &str) -> String {
    let mut reader = csv::Reader::from_path(desk.path().join("results/tiny/runs.csv")).unwrap();
    let mut rows = reader.records().flatten();
    rows.find(|row| &row[1] == arm).unwrap_or_else(|| panic!("no run of {arm}"))[0].to_string()
}

#[test]
fn two_runs_and_two_arms_side_by_side() {
    let desk = Desk::new();
    desk.experiment("tiny", TINY);
    insta::assert_snapshot!("help_compare", desk.show(&["compare", "--help"]));
    insta::assert_snapshot!("compare_without_results", desk.show(&["compare", "experiments/tiny", "a", "b"]));
    assert!(desk.command(&["run", "experiments/tiny", "--quiet"]).output().unwrap().status.success());
    let [a, b] = ["one_shot", "pruning_aware"].map(|arm| run_name(&desk, arm));
    let show = |arguments: &[&str]| {
        let shown = desk.show(&[&["compare", "experiments/tiny"], arguments].concat());
        shown.replace(&a, "<run a>").replace(&b, "<run b>")
    };
    let runs = show(&[&a, &b, "--flips", "3"]);
    assert!(runs.lines().all(|line| line.chars().count() <= 100), "{runs}");
    assert!(TIMES.iter().all(|name| runs.contains(name)), "{runs}");
    insta::assert_snapshot!("compare_runs", skeleton(&unwrapped(&runs)));
    let markdown = show(&[&a, &b, "--markdown"]);
    assert!(
        markdown.contains("\n# <run b> against <run a>\n") && markdown.contains("\n## Scores\n"),
        "{markdown}"
    );
    assert!(
        markdown.contains("| task | metric | items | a | b | b − a | interval | p | p (Holm) |"),
        "{markdown}"
    );
    let arms = show(&["one_shot", "pruning_aware"]);
    assert!(arms.contains("exit code 0") && arms.contains("Only seed 1 finished both arms"), "{arms}");
    insta::assert_snapshot!("compare_misspelt", show(&[&a, "pruning-aware"]));
    insta::assert_snapshot!("compare_unknown", show(&[&a, "x"]));
    insta::assert_snapshot!("compare_run_with_arm", show(&[&a, "pruning_aware"]));
    insta::assert_snapshot!("compare_one", show(&[&a]));
}
