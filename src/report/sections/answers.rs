//! The answers, the comparisons, and the tables of accuracy and cost of every arm.
use super::folded::{self, Told};
use super::{Context, figure};
use crate::record::EvalScore;
use crate::report::Result;
use crate::report::answers::Answers;
use crate::report::comparisons::Compared;
use crate::report::document::{Block, Table};
use crate::report::figures::accuracy::{TaskRow, accuracy_figure};
use crate::report::figures::canvas::NUM_COLOURS;
use crate::report::figures::forest::forest_figure;
use crate::report::format;
use crate::report::groups::Group;
use crate::report::metric::Metric;
use crate::report::request::ReportRequest;
use crate::report::scores::{Cell, NORM_TASKS};
use std::collections::BTreeSet;

impl Context<'_> {
    /// The answers to all declared questions in sentences, then the comparisons as a figure and a table. `preliminary` stands
    /// before every sentence.
    pub(super) fn answers_section(
        &self,
        request: &ReportRequest,
        answers: &Answers,
        preliminary: &str,
    ) -> Result<Vec<Block>> {
        let compared = &answers.compared;
        let mut blocks = vec![Block::Heading("Answers".into())];
        if compared.is_empty() && request.questions.is_empty() {
            blocks
                .push(Block::Text("No question was declared before the run, so no verdict is given.".into()));
            return Ok(blocks);
        }
        let of_axes = request.questions.iter().map(|question| self.question_sentence(question, answers));
        let told = folded::told(compared, request.questions.len());
        let sentence = |told: &Told| match told.is_summed_up() {
            true => self.summed_up(told.points),
            false => told.points[0].verdict.clone(),
        };
        let sentences = told.iter().map(sentence).chain(of_axes);
        blocks.push(Block::List(sentences.map(|sentence| format!("{preliminary}{sentence}")).collect()));
        let few = told.iter().filter(|told| told.is_summed_up() && !told.is_mapped);
        blocks.extend(few.map(|told| folded::sentences(told.points, preliminary)));
        blocks.extend(frozen(request).map(Block::Text));
        if compared.is_empty() {
            return Ok(blocks);
        }
        let later = compared.iter().filter(|c| c.exploratory).count();
        let asked = match later {
            0 => "Differences that were declared before the run",
            n if n == compared.len() => "Differences, all asked after there were results",
            _ => "Differences",
        };
        let grey = match later {
            n if n > 0 && n < compared.len() => " Grey: asked after there were results, so exploratory.",
            _ => "",
        };
        let of_items: BTreeSet<bool> = compared.iter().map(|c| c.metric.is_of_items()).collect();
        let with = match of_items.len() {
            2 if self.scores.has_items() => {
                " with 95 % intervals over seeds and, of metrics of items, items".to_string()
            }
            _ => self.with_interval(compared[0].metric, "95 % intervals"),
        };
        let comma = if with.is_empty() { "" } else { "," };
        let caption = format!("{asked}, variant minus baseline{comma}{with}.{grey}");
        let mut in_rows: Vec<&Compared> = Vec::new();
        let mut maps = Vec::new();
        for (number, told) in told.iter().enumerate() {
            let map = match told.is_mapped {
                true => self.map_of_points(number + 1, told.points)?,
                false => None,
            };
            match map {
                Some(map) => maps.push(map),
                None => in_rows.extend(told.points),
            }
        }
        let in_rows = self.differences(in_rows);
        blocks.extend(figure("differences", &caption, |sheet| forest_figure(sheet, &in_rows))?);
        blocks.extend(maps);
        let mut header: Vec<String> = ["variant", "baseline"].map(String::from).to_vec();
        header.extend(self.results.axes.iter().map(|a| format!("`{a}`")));
        header.extend(
            [
                "metric",
                "difference",
                "95 % interval",
                "bootstrap",
                "p",
                "p (Holm)",
                "detectable",
                "in favour",
                "items",
            ]
            .map(String::from),
        );
        if later > 0 {
            header.push("asked".into());
        }
        let row = |c: &Compared| {
            let asked = if c.exploratory { "later" } else { "before" };
            let mut row = self.comparison_row(c);
            row.extend((later > 0).then(|| asked.to_string()));
            row
        };
        // Of many points those without an answer are counted above.
        let is_shown = |told: &Told, c: &&Compared| !told.is_mapped || c.difference.is_some();
        let rows: Vec<Vec<String>> =
            told.iter().flat_map(|told| told.points.iter().filter(|c| is_shown(told, c))).map(row).collect();
        // Early in a sweep there is nothing to put into the table.
        if rows.is_empty() || compared.iter().all(|c| c.difference.is_none()) {
            return Ok(blocks);
        }
        let found_by =
            if of_items.contains(&true) && self.scores.has_items() { "seeds and items" } else { "seeds" };
        let caption = format!(
            "Comparisons, variant minus baseline: accuracies in percentage points (mean over tasks), bits per byte as they are (lower is better). `detectable`: true difference that these {found_by} find with 80 % probability at the corrected level. `in favour`: seeds in which the variant is the better one, of those that both arms finished."
        );
        let caption = if later > 0 {
            format!("{caption} `asked`: before there were results, or later.")
        } else {
            caption
        };
        blocks.push(Block::Table(Table::new(
            "comparisons",
            &caption,
            3 + self.results.axes.len(),
            header,
            rows,
        )));
        Ok(blocks)
    }

    fn comparison_row(&self, c: &Compared) -> Vec<String> {
        let show = |x: f64| format::difference(c.metric, x);
        let interval = |i: Option<crate::stats::Interval>| {
            i.map_or(String::new(), |i| format!("{} to {}", show(i.low), show(i.high)))
        };
        let mut row = c.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
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
            match c.detectable {
                // No two shares are further apart.
                Some(d) if c.metric.is_share() && d > 1.0 => "> 100".into(),
                d => d.map_or(String::new(), |d| format::magnitude(c.metric, d)),
            },
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
            "average usual (%)",
        ];
        let usual = self.scores.tasks_of(Metric::AverageUsual, &all);
        let with = self.with_interval(Metric::Acc, "its 95 % interval");
        let caption = format!(
            "Every arm: means over seeds. `average acc` is the mean of `acc` over all tasks{with}; `average usual` is the paper's average, over the seven common-sense tasks with the usual metric of each (`acc_norm` for arc_challenge, hellaswag and openbookqa), blank where not all seven were scored."
        );
        blocks.push(Block::Table(self.keyed_table(
            "arms",
            &caption,
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
                    usual.as_ref().map_or(String::new(), |tasks| {
                        marked(self.scores.cell(g, tasks, Metric::AverageUsual))
                    }),
                ]
            },
        )));
        if all.is_empty() {
            blocks.push(Block::Text("No task was scored.".into()));
            return Ok(blocks);
        }
        let clusters = match self.scores.has_items() {
            true => "; intervals allow for it",
            false => "",
        };
        let caption = format!(
            "`acc` (%) by task: mean over seeds{with}. `average`: mean over these tasks. `design effect`: variance of `acc` with its items in their clusters, relative to independent items{clusters}."
        );
        blocks.push(Block::Table(self.task_table("acc", &caption, &all, Metric::Acc)));
        if !norm.is_empty() {
            let caption = "`acc_norm` (%) of the tasks whose usual number it is.";
            blocks.push(Block::Table(self.task_table("acc_norm", caption, &norm, Metric::AccNorm)));
        }
        blocks.extend(self.companion_table(&all));
        blocks.extend(self.item_notes());
        let row = |task: String, chance: Option<f64>, tasks: &[&str]| TaskRow {
            task,
            chance,
            cells: self.groups.iter().map(|g| self.scores.cell(g, tasks, Metric::Acc)).collect(),
        };
        let mut rows = vec![row("average".into(), self.average_chance(&all), &all)];
        let by_task = self.groups.len() <= NUM_COLOURS;
        // Many configurations on many tasks would be a page of dots: the table has them.
        if by_task {
            rows.extend(all.iter().map(|t| row(t.to_string(), self.scores.chance(t), &[t])));
        }
        let what = match by_task {
            true => "Accuracy (`acc`) by task and configuration",
            false => "Mean accuracy (`acc`) over all tasks of every configuration",
        };
        let caption = format!("{what}: mean over seeds{with}; dashed: chance.");
        blocks.extend(figure("accuracy", &caption, |sheet| {
            accuracy_figure(sheet, &self.groups, &self.results.axes, &rows)
        })?);
        Ok(blocks)
    }

    /// The continuous companions of accuracy, where they were recorded.
    fn companion_table(&self, tasks: &[&str]) -> Option<Block> {
        let metrics = [
            Metric::GoldProbability,
            Metric::GoldProbabilityNorm,
            Metric::GoldNll,
            Metric::Margin,
            Metric::ChoiceLogLoss,
            Metric::Agreement,
        ];
        let of: Vec<(Metric, Vec<&str>)> = metrics
            .into_iter()
            .map(|metric| (metric, self.scores.tasks_with(metric, &self.groups)))
            .filter(|(_, with)| !with.is_empty())
            .map(|(metric, with)| (metric, tasks.iter().copied().filter(|t| with.contains(t)).collect()))
            .collect();
        if of.is_empty() {
            return None;
        }
        let divergence = |g: &Group| self.total(g, |t| t.kl_to_source);
        let has_divergence = self.groups.iter().any(|g| divergence(g).is_some());
        let mut columns: Vec<String> = of
            .iter()
            .map(|(metric, _)| {
                let unit = if metric.is_share() { "%" } else { metric.unit() };
                format!("`{}` ({unit})", metric.name())
            })
            .collect();
        if has_divergence {
            columns.push("`kl_to_source` (nats per token)".into());
        }
        let with = self.with_interval(Metric::GoldProbability, "95 % intervals");
        let caption = format!(
            "Continuous companions of accuracy, means over the tasks that have them{with}. `gold_probability`: softmax of the log-likelihoods over the choices at the right one (`_norm`: per character); `gold_nll`: of the right continuation; `margin`: right choice less the best other; `choice_log_loss`: −ln `gold_probability`; `agreement`: items answered as the source answers them; `kl_to_source`: KL(source ‖ model) on held-out text."
        );
        let table = self.keyed_table("companions", &caption, columns, |g| {
            let mut cells: Vec<String> = of
                .iter()
                .map(|(metric, tasks)| {
                    let cell = self.scores.cell(g, tasks, *metric);
                    if metric.is_share() { marked(cell) } else { with_interval(*metric, cell) }
                })
                .collect();
            if has_divergence {
                cells.push(format::fixed(divergence(g), 4));
            }
            cells
        });
        Some(Block::Table(table))
    }

    /// What is unusual about the items: not scored, cut, without a finite answer, or not independent.
    fn item_notes(&self) -> Option<Block> {
        let mut notes = Vec::new();
        for task in &self.scores.tasks {
            let of = |pick: fn(&EvalScore) -> Option<u64>| {
                let rows = self.results.evals.iter().filter(|k| k.row.task == *task);
                rows.filter_map(|k| pick(&k.row)).max().unwrap_or(0)
            };
            let counts = [
                (of(|row| row.num_not_finite), "have no finite answer and are left out"),
                (of(|row| row.num_set_aside), "could not be scored (`set_aside.csv`)"),
                (of(|row| row.num_truncated), "lost the beginning of their context"),
            ];
            for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
                notes.push(format!("`{task}`: up to {count} items {what}."));
            }
        }
        let lengths: BTreeSet<u64> = self.results.evals.iter().filter_map(|k| k.row.context_length).collect();
        if !lengths.is_empty() {
            let lengths: Vec<String> = lengths.iter().map(u64::to_string).collect();
            notes.push(format!(
                "Benchmarks were scored with at most {} tokens at once (`data.context_length`); `efficientllm eval` takes \
                 what the model was made for, unless told by `--context-length`.",
                lengths.join(" or ")
            ));
        }
        (!notes.is_empty()).then_some(Block::List(notes))
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
        let blanks = vec![String::new(); self.key_header().len() - 1];
        let line = |label: &str, cells: Vec<String>| {
            std::iter::once(label.to_string()).chain(blanks.clone()).chain(cells).collect::<Vec<_>>()
        };
        let percent = |x: Option<f64>| x.map_or(String::new(), format::percent);
        let chance = tasks.iter().map(|t| percent(self.scores.chance(t)));
        table.rows.push(line("chance", chance.chain([percent(self.average_chance(tasks))]).collect()));
        let items: Vec<u64> = tasks.iter().map(|t| self.scores.num_items(t)).collect();
        let total = items.iter().sum::<u64>().to_string();
        table.rows.push(line("items", items.iter().map(u64::to_string).chain([total]).collect()));
        let effects: Vec<Option<f64>> = tasks.iter().map(|t| self.scores.design_effect(t)).collect();
        if metric == Metric::Acc && effects.iter().any(Option::is_some) {
            let effects = effects.into_iter().map(|effect| format::fixed(effect, 2));
            table.rows.push(line("design effect", effects.chain([String::new()]).collect()));
        }
        table.footer = table.rows.len() - self.groups.len();
        table
    }
}

/// What is to be said of the questions themselves: when they were asked, and given what.
fn frozen(request: &ReportRequest) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(declared) = &request.declared {
        parts.push(format!(
            "Questions were frozen before the first result (SHA-256 `{}…`).",
            declared.sha256.chars().take(12).collect::<String>()
        ));
        let dropped: Vec<String> = declared
            .asked
            .comparisons
            .iter()
            .filter(|c| !request.comparisons.contains(c))
            .map(|c| format!("`{}` against `{}` on `{}`", c.names()[0], c.names()[1], c.metric))
            .chain(
                declared
                    .asked
                    .questions
                    .iter()
                    .filter(|q| !request.questions.contains(q))
                    .map(|q| format!("`{}` of `{}` on `{}`", q.axes.join("` × `"), q.arm, q.metric)),
            )
            .collect();
        if !dropped.is_empty() {
            parts.push(format!("Asked then and no longer asked: {}.", dropped.join("; ")));
        }
    }
    if request.base.source.per_seed == Some(false) {
        parts.push("All seeds share one source model: every interval is given this source.".to_string());
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Mean and interval in the metric's unit, † where the interval is over items alone.
fn with_interval(metric: Metric, cell: Cell) -> String {
    let show = |x: f64| format::value(metric, x);
    match (cell.mean, cell.interval) {
        (Some(mean), Some(i)) => {
            let dagger = if cell.seeds == 1 { "†" } else { "" };
            format!("{}{dagger} ({} to {})", show(mean), show(i.low), show(i.high))
        }
        (mean, _) => mean.map_or(String::new(), show),
    }
}

/// Mean and interval in percent, † where the interval is over items alone.
fn marked(cell: Cell) -> String {
    let text = format::percent_with_interval(cell.mean, cell.interval);
    if cell.seeds == 1 && cell.interval.is_some() { text.replacen(" (", "† (", 1) } else { text }
}
