//! The declared comparisons, and the tables of accuracy and cost of every arm.
use super::{Context, figure};
use crate::report::Result;
use crate::report::comparisons::Compared;
use crate::report::document::{Block, Table};
use crate::report::figures::accuracy::{TaskRow, accuracy_figure};
use crate::report::figures::forest::forest_figure;
use crate::report::format;
use crate::report::request::Metric;
use crate::report::scores::{Cell, NORM_TASKS};

impl Context<'_> {
    pub(super) fn comparison_section(&self, compared: &[Compared]) -> Result<Vec<Block>> {
        let mut blocks = vec![Block::Heading("Answers".into())];
        if compared.is_empty() {
            blocks.push(Block::Text("No comparison was declared before the run, so none is made.".into()));
            return Ok(blocks);
        }
        blocks.push(Block::List(compared.iter().map(|c| c.verdict.clone()).collect()));
        if let Some(svg) = forest_figure(compared)? {
            blocks.push(figure("differences", "Declared differences in accuracy, variant minus baseline, mean over tasks, with 95 % intervals over seeds and items.", svg));
        }
        let mut header: Vec<String> = ["variant", "baseline"].map(String::from).to_vec();
        header.extend(self.results.axes.iter().map(|a| format!("`{a}`")));
        header.extend(
            ["metric", "difference", "95 % interval", "bootstrap", "p", "p (Holm)", "in favour", "items"]
                .map(String::from),
        );
        let rows = compared.iter().map(|c| self.comparison_row(c)).collect();
        let caption = "Declared comparisons, variant minus baseline: accuracies in percentage points (mean over tasks), bits per byte as they are (lower is better). `in favour`: seeds in which the variant is the better one, of those that both arms finished.";
        blocks.push(Block::Table(Table::new(
            "comparisons",
            caption,
            3 + self.results.axes.len(),
            header,
            rows,
        )));
        Ok(blocks)
    }

    fn comparison_row(&self, c: &Compared) -> Vec<String> {
        let bits = c.metric == Metric::BitsPerByte;
        let show = |x: f64| if bits { format::signed_fixed(x, 3) } else { format::points(x) };
        let interval = |i: Option<crate::stats::Interval>| {
            i.map_or(String::new(), |i| format!("{} to {}", show(i.low), show(i.high)))
        };
        let mut row = vec![format!("`{}`", c.declared.variant), format!("`{}`", c.declared.baseline)];
        row.extend(
            self.results.axes.iter().enumerate().map(|(i, _)| c.point.get(i).cloned().unwrap_or_default()),
        );
        let dagger = if c.seeds.len() == 1 && c.interval.is_some() { " †" } else { "" };
        row.extend([
            c.declared.metric.clone(),
            c.difference.map_or(String::new(), show),
            interval(c.interval) + dagger,
            interval(c.bootstrap),
            format::p_value(c.p),
            format::p_value(c.p_holm),
            if c.difference.is_some() {
                format!("{} of {}", c.seeds_in_favour, c.seeds.len())
            } else {
                String::new()
            },
            if c.items > 0 { c.items.to_string() } else { String::new() },
        ]);
        row
    }

    pub(super) fn accuracy_section(&self) -> Result<Vec<Block>> {
        let mut blocks = vec![Block::Heading("Accuracy and cost of every arm".into())];
        let all = self.scores.tasks_with(Metric::Acc, &self.groups);
        let norm: Vec<&str> = self
            .scores
            .tasks_with(Metric::AccNorm, &self.groups)
            .into_iter()
            .filter(|t| NORM_TASKS.contains(t))
            .collect();
        let columns = [
            "seeds",
            "parameters",
            "tokens",
            "total tokens",
            "FLOPs",
            "total FLOPs",
            "bits per byte",
            "average acc (%)",
        ];
        let caption = "Every arm: means over seeds. `average acc` is the mean over tasks with its 95 % interval over seeds and items.";
        blocks.push(Block::Table(self.keyed_table(
            "arms",
            caption,
            columns.map(String::from).to_vec(),
            |g| {
                vec![
                    g.runs.len().to_string(),
                    format::si(self.total(g, |t| t.params.map(|x| x as f64))),
                    format::si(self.total(g, |t| t.tokens.map(|x| x as f64))),
                    format::si(self.total(g, |t| t.total_tokens.map(|x| x as f64))),
                    format::si(self.total(g, |t| t.flops)),
                    format::si(self.total(g, |t| t.total_flops)),
                    format::fixed(self.total(g, |t| t.bits_per_byte), 3),
                    marked(self.scores.cell(g, &all, Metric::Acc)),
                ]
            },
        )));
        if all.is_empty() {
            blocks.push(Block::Text("No task was scored.".into()));
            return Ok(blocks);
        }
        let caption = "`acc` (%) by task: mean over seeds with its 95 % interval over seeds and items. `average`: mean over these tasks.";
        blocks.push(Block::Table(self.task_table("acc", caption, &all, Metric::Acc)));
        if !norm.is_empty() {
            let caption = "`acc_norm` (%) of the tasks whose usual number it is.";
            blocks.push(Block::Table(self.task_table("acc_norm", caption, &norm, Metric::AccNorm)));
        }
        let row = |task: String, chance: Option<f64>, tasks: &[&str]| TaskRow {
            task,
            chance,
            cells: self.groups.iter().map(|g| self.scores.cell(g, tasks, Metric::Acc)).collect(),
        };
        let mut rows = vec![row("average".into(), self.average_chance(&all), &all)];
        // Many configurations on many tasks would be a page of dots: the table has them.
        if self.groups.len() <= 8 {
            rows.extend(all.iter().map(|t| row(t.to_string(), self.scores.chance(t), &[t])));
        }
        if let Some(svg) = accuracy_figure(&self.groups, &rows)? {
            blocks.push(figure("accuracy", "Accuracy (`acc`) by task and arm: mean over seeds with 95 % interval over seeds and items; dashed: chance.", svg));
        }
        Ok(blocks)
    }

    fn average_chance(&self, tasks: &[&str]) -> Option<f64> {
        let chances: Option<Vec<f64>> = tasks.iter().map(|t| self.scores.chance(t)).collect();
        crate::stats::descriptive::mean(&chances?).ok()
    }

    fn task_table(&self, name: &str, caption: &str, tasks: &[&str], metric: Metric) -> Table {
        let columns = tasks.iter().map(|t| t.to_string()).chain(["average".to_string()]).collect();
        let mut table = self.keyed_table(name, caption, columns, |g| {
            let mut cells: Vec<String> =
                tasks.iter().map(|t| marked(self.scores.cell(g, &[t], metric))).collect();
            cells.push(marked(self.scores.cell(g, tasks, metric)));
            cells
        });
        let blanks = vec![String::new(); self.results.axes.len()];
        let line = |label: &str, cells: Vec<String>| {
            std::iter::once(label.to_string()).chain(blanks.clone()).chain(cells).collect::<Vec<_>>()
        };
        let percent = |x: Option<f64>| x.map_or(String::new(), format::percent);
        let chance = tasks.iter().map(|t| percent(self.scores.chance(t)));
        table.rows.push(line("chance", chance.chain([percent(self.average_chance(tasks))]).collect()));
        let items: Vec<u64> = tasks.iter().map(|t| self.scores.num_items(t)).collect();
        let total = items.iter().sum::<u64>().to_string();
        table.rows.push(line("items", items.iter().map(u64::to_string).chain([total]).collect()));
        table
    }
}

/// Mean and interval in percent, † where the interval is over items alone.
fn marked(cell: Cell) -> String {
    let text = format::percent_with_interval(cell.mean, cell.interval);
    if cell.seeds == 1 && cell.interval.is_some() { text.replacen(" (", "† (", 1) } else { text }
}
