//! The data dictionary: every column of every file with its unit, its meaning and when it is empty.
//!
//! The headers of the CSV files are taken from here.
use super::SCHEMA_VERSION;
use std::fmt::Write;

/// Name of the dictionary beside the CSV files.
pub const DICTIONARY_FILE: &str = "DICTIONARY.md";

pub const RUNS: &str = "runs.csv";
pub const EVALS: &str = "evals.csv";
pub const ITEMS: &str = "items.csv";
pub const CURVES: &str = "curves.csv";
pub const PRUNE: &str = "prune.csv";
pub const CANDIDATES: &str = "candidates.csv";
pub const WIDTHS: &str = "widths.csv";
pub const LEDGER: &str = "ledger.csv";
pub const LATENCY: &str = "latency.csv";
pub const SET_ASIDE: &str = "set_aside.csv";
pub const TIDY: &str = "tidy.csv";
pub const COMPARISONS: &str = "comparisons.csv";
pub const PROBE: &str = "probe.csv";
pub const PROBE_GROUPS: &str = "probe_groups.csv";

/// All files, with what one row of each is.
pub const FILES: [(&str, &str); 11] = [
    (RUNS, "one row per run of the plan that has finished, failed ones included"),
    (EVALS, "one row per run and task"),
    (ITEMS, "one row per run, task, item and choice"),
    (CURVES, "one row per run and logged optimiser step"),
    (PRUNE, "one row per run and pruning event"),
    (CANDIDATES, "one row per run, pruning event and type of group"),
    (WIDTHS, "one row per run and layer of the final model"),
    (LEDGER, "one row per run and part of its cost"),
    (LATENCY, "one row per run and phase of generation, at batch 1; none where latency was not measured"),
    (SET_ASIDE, "one row per run, task and item that could not be scored; such items are in no other file"),
    (TIDY, "one row per number measured: a metric of a task of a run, or of a run; failed runs have none"),
];

/// What `report` makes of the tables.
pub const REPORT_FILES: [(&str, &str); 1] = [(
    COMPARISONS,
    "one row per comparison, pair of values of an axis, tetrad of an interaction, and slope; written by `report`",
)];

/// What `probe` writes, and no run.
pub const PROBE_FILES: [(&str, &str); 2] = [
    (PROBE, "one row per saliency rule, unit of squared gradients and type of group; written by `probe`"),
    (
        PROBE_GROUPS,
        "one row per rule, unit, calibration set and group that was removed by itself; written by `probe`",
    ),
];

/// Columns that later versions put at the end of a file. What was written before them is read, their cells empty.
const ADDED: [(&str, usize); 5] = [(RUNS, 6), (EVALS, 25), (ITEMS, 11), (WIDTHS, 1), (CURVES, 1)];

/// How many of the columns of `file` its first version had.
pub fn first_columns(file: &str) -> usize {
    let added = ADDED.iter().find(|(name, _)| *name == file).map_or(0, |(_, added)| *added);
    columns(file).len() - added
}

/// After which column of `file` the axis columns stand; `None` where it has none.
pub fn axes_after(file: &str) -> Option<&'static str> {
    match file {
        RUNS => Some("stage"),
        EVALS | TIDY => Some("seed"),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub file: &'static str,
    pub name: &'static str,
    pub unit: &'static str,
    pub meaning: &'static str,
    pub empty_when: &'static str,
}

const fn column(
    file: &'static str,
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    empty_when: &'static str,
) -> Column {
    Column { file, name, unit, meaning, empty_when }
}

const NEVER: &str = "never";
const FAILED: &str = "the run failed before it was known";
const UNKNOWN: &str =
    "the run failed before it was known, or it includes a source from disk whose tokens nobody stated";
const UNTOLD: &str = "the run failed, or was made before engines were told, or is a model from disk";
const RUN: &str = "id of the run, as in `plan.json`";
const ARM: &str = "arm of the comparison";
const SEED: &str = "seed of the replicate";
const NO_NORM: &str = "the task has no choices to normalise by";
const EARLIER: &str = "not scored, or scored before this was recorded";
const NO_LOGLIK: &str = "a log-likelihood is not finite, or it was scored before this was recorded";
const NO_SOURCE: &str = "the model was not pruned from a source, or it was scored before this was recorded";

const NO_PAIR: &str = "no seed finished both sides, or the differences do not vary";
const ONE_SEED: &str = "one seed, no seed, or differences that do not vary";
const RULE: &str = "saliency rule";
const UNIT: &str = "whose gradients are squared";
const NO_SQUARES: &str = "the rule reads no squared gradients";
const CONSTANT: &str = "the scores of every layer are all alike";

/// Every column of every file, in file and column order; files with axes ([`axes_after`]) have one more per axis, named by its
/// key path.
pub const COLUMNS: &[Column] = &[
    column(RUNS, "run", "", RUN, NEVER),
    column(RUNS, "arm", "", ARM, NEVER),
    column(RUNS, "seed", "", SEED, NEVER),
    column(RUNS, "status", "ok, failed", "whether the run finished", NEVER),
    column(RUNS, "reason", "", "why the run failed", "the run did not fail"),
    column(RUNS, "stage", "", "id of the stage in the store that holds the final model", FAILED),
    column(RUNS, "params", "parameters", "parameters of the final model, a tied head counted once", FAILED),
    column(
        RUNS,
        "target_params",
        "parameters",
        "parameters asked for; without embedding and head where the target is `non_embedding_ratio`",
        "the arm has no target",
    ),
    column(RUNS, "tokens", "tokens", "tokens this run itself trained on or calibrated with", UNKNOWN),
    column(RUNS, "total_tokens", "tokens", "the same, those of its source model included", UNKNOWN),
    column(RUNS, "flops", "FLOP", "floating-point operations of this run itself", UNKNOWN),
    column(RUNS, "total_flops", "FLOP", "the same, those of its source model included", UNKNOWN),
    column(
        RUNS,
        "train_loss",
        "nats per token",
        "mean training loss over the last logged steps",
        "nothing was trained",
    ),
    column(RUNS, "valid_loss", "nats per token", "mean loss on held-out text", "not evaluated"),
    column(RUNS, "bits_per_byte", "bits per byte", "held-out loss per UTF-8 byte of text", "not evaluated"),
    column(RUNS, "seconds", "s", "wall time of this run itself; differs from run to run", FAILED),
    column(
        RUNS,
        "peak_memory_bytes",
        "bytes",
        "largest memory in use while the model was made: on CUDA of the first device, otherwise resident memory of the process, which differs from run to run",
        "not known on this system",
    ),
    column(RUNS, "engine", "cpu, cuda, reference", "engine that made the model", UNTOLD),
    column(RUNS, "precision", "f32, bf16", "precision of its products", UNTOLD),
    column(
        RUNS,
        "devices",
        "",
        "device of the engine and the numbers of those used; may differ from run to run",
        "the processor did it",
    ),
    column(
        RUNS,
        "sequences_at_once",
        "sequences",
        "sequences of one pass: fewer than train.micro_batch where memory did not hold more",
        UNTOLD,
    ),
    column(
        RUNS,
        "saliency_hessian",
        "",
        "Hessian that saliency used: none, global_diagonal, layerwise",
        "nothing was pruned",
    ),
    column(
        RUNS,
        "update_hessian",
        "",
        "Hessian that the weight update used: none, mean_bias, layerwise, layerwise_bias",
        "nothing was pruned",
    ),
    column(
        RUNS,
        "kl_to_source",
        "nats per token",
        "mean over held-out tokens of KL(source ‖ model), the divergence of the model's next-token distribution from that of the source it was pruned from",
        NO_SOURCE,
    ),
    column(
        RUNS,
        "kl_to_source_low",
        "nats per token",
        "lower end of its 95 % interval, Student's t over held-out windows",
        NO_SOURCE,
    ),
    column(RUNS, "kl_to_source_high", "nats per token", "upper end of it", NO_SOURCE),
    column(
        RUNS,
        "average_acc",
        "share",
        "plain mean of acc over the tasks scored",
        "a task has no acc, or the run was scored before averages were recorded",
    ),
    column(
        RUNS,
        "average_usual",
        "share",
        "the paper's average: mean over arc_easy, arc_challenge, boolq, hellaswag, openbookqa, piqa and winogrande with the usual metric of each (acc_norm for arc_challenge, hellaswag and openbookqa, else acc); other tasks are left out",
        "not all seven were scored, or the run was scored before averages were recorded",
    ),
    column(
        RUNS,
        "products",
        "amx_bf16, avx512_bf16",
        "instruction whose order of sums its bf16 products on the processor follow, with `emulated` where that was done without it",
        "products in f32, or on a device",
    ),
    column(EVALS, "run", "", RUN, NEVER),
    column(EVALS, "arm", "", ARM, NEVER),
    column(EVALS, "seed", "", SEED, NEVER),
    column(EVALS, "task", "", "benchmark task", NEVER),
    column(EVALS, "num_items", "items", "items with an accuracy", NEVER),
    column(EVALS, "acc", "share", "items whose likeliest choice is the right one", "not scored"),
    column(
        EVALS,
        "acc_stderr",
        "share",
        "sample standard deviation over items / √items",
        "fewer than two items",
    ),
    column(
        EVALS,
        "acc_low",
        "share",
        "lower end of the Wilson 95 % interval of acc, over items; of items in clusters with num_items / design_effect items and Student's t",
        "not scored",
    ),
    column(EVALS, "acc_high", "share", "upper end of it", "not scored"),
    column(
        EVALS,
        "acc_norm",
        "share",
        "the same as acc with log-likelihoods divided by the choice's characters",
        NO_NORM,
    ),
    column(EVALS, "acc_norm_stderr", "share", "sample standard deviation over items / √items", NO_NORM),
    column(
        EVALS,
        "acc_norm_low",
        "share",
        "lower end of the Wilson 95 % interval of acc_norm, over items, as acc_low",
        NO_NORM,
    ),
    column(EVALS, "acc_norm_high", "share", "upper end of it", NO_NORM),
    column(
        EVALS,
        "chance",
        "share",
        "accuracy of blind guessing: mean over items of 1 / number of choices",
        "not known",
    ),
    column(
        EVALS,
        "num_clusters",
        "clusters",
        "clusters of the items: one option pair (winogrande), source_id (hellaswag), passage (boolq), context (social_iqa), goal (piqa) or question (others)",
        EARLIER,
    ),
    column(
        EVALS,
        "design_effect",
        "",
        "variance of acc over items in their clusters (mmlu: within its subjects) / that of independent items",
        "all items are alike, or scored before it was recorded",
    ),
    column(
        EVALS,
        "gold_probability",
        "share",
        "mean over items of exp(loglik) of the right choice / its sum over the choices",
        EARLIER,
    ),
    column(
        EVALS,
        "gold_probability_low",
        "share",
        "lower end of its 95 % interval over items in their clusters",
        EARLIER,
    ),
    column(EVALS, "gold_probability_high", "share", "upper end of it", EARLIER),
    column(
        EVALS,
        "gold_probability_norm",
        "share",
        "the same with loglik / num_chars in the place of loglik",
        NO_NORM,
    ),
    column(
        EVALS,
        "gold_probability_norm_low",
        "share",
        "lower end of its 95 % interval over items in their clusters",
        NO_NORM,
    ),
    column(EVALS, "gold_probability_norm_high", "share", "upper end of it", NO_NORM),
    column(
        EVALS,
        "gold_nll",
        "nats per byte",
        "mean over items of -loglik of the right continuation / its bytes, without the space before it",
        EARLIER,
    ),
    column(
        EVALS,
        "gold_nll_low",
        "nats per byte",
        "lower end of its 95 % interval over items in their clusters",
        EARLIER,
    ),
    column(EVALS, "gold_nll_high", "nats per byte", "upper end of it", EARLIER),
    column(
        EVALS,
        "margin",
        "nats",
        "mean over items of loglik of the right choice - the highest of the others",
        EARLIER,
    ),
    column(
        EVALS,
        "margin_low",
        "nats",
        "lower end of its 95 % interval over items in their clusters",
        EARLIER,
    ),
    column(EVALS, "margin_high", "nats", "upper end of it", EARLIER),
    column(EVALS, "choice_log_loss", "nats", "mean over items of -ln gold_probability", EARLIER),
    column(
        EVALS,
        "choice_log_loss_low",
        "nats",
        "lower end of its 95 % interval over items in their clusters",
        EARLIER,
    ),
    column(EVALS, "choice_log_loss_high", "nats", "upper end of it", EARLIER),
    column(
        EVALS,
        "agreement",
        "share",
        "items whose likeliest choice is that of the source the model was pruned from",
        NO_SOURCE,
    ),
    column(
        EVALS,
        "agreement_low",
        "share",
        "lower end of its 95 % interval over items in their clusters",
        NO_SOURCE,
    ),
    column(EVALS, "agreement_high", "share", "upper end of it", NO_SOURCE),
    column(
        EVALS,
        "num_not_finite",
        "items",
        "items with a log-likelihood that is not finite: they have no accuracy (only with eval.allow_non_finite)",
        EARLIER,
    ),
    column(EVALS, "num_set_aside", "items", "items that could not be scored, see set_aside.csv", EARLIER),
    column(EVALS, "num_truncated", "items", "items that lost the beginning of their context", EARLIER),
    column(EVALS, "context_length", "tokens", "tokens that the model saw at most", EARLIER),
    column(
        EVALS,
        "sample_seed",
        "",
        "seed of the sample of items that was drawn from the file",
        "the items are all of the file, or made by the embedded world",
    ),
    column(ITEMS, "run", "", RUN, NEVER),
    column(ITEMS, "arm", "", ARM, NEVER),
    column(ITEMS, "seed", "", SEED, NEVER),
    column(ITEMS, "task", "", "benchmark task", NEVER),
    column(
        ITEMS,
        "item",
        "",
        "the item's own id, else its place; items may share one, so `place` names the item",
        NEVER,
    ),
    column(ITEMS, "gold", "index", "right choice, counted from 0", NEVER),
    column(ITEMS, "choice", "index", "this row's choice, counted from 0", NEVER),
    column(ITEMS, "loglik", "nats", "sum of log-probabilities of the choice's tokens", "not finite"),
    column(
        ITEMS,
        "num_chars",
        "characters",
        "Unicode characters of the choice, without the leading space",
        NEVER,
    ),
    column(ITEMS, "num_bytes", "bytes", "UTF-8 bytes of the choice, without the leading space", NEVER),
    column(ITEMS, "num_tokens", "tokens", "tokens scored", NEVER),
    column(
        ITEMS,
        "acc",
        "0, 1",
        "the item is answered rightly by log-likelihood; repeated on each choice",
        "not scored",
    ),
    column(ITEMS, "acc_norm", "0, 1", "the same by log-likelihood per character", NO_NORM),
    column(
        ITEMS,
        "place",
        "index",
        "place of the item in its file, counted from 0: with the task it names the item",
        EARLIER,
    ),
    column(ITEMS, "cluster", "index", "place of the first item of its cluster", EARLIER),
    column(ITEMS, "stratum", "", "subject of the item", "the task has no subjects"),
    column(
        ITEMS,
        "gold_probability",
        "share",
        "exp(loglik) of the right choice / its sum over the choices; repeated, as the columns after it",
        NO_LOGLIK,
    ),
    column(ITEMS, "gold_probability_norm", "share", "the same with loglik / num_chars", NO_NORM),
    column(
        ITEMS,
        "gold_nll",
        "nats per byte",
        "-loglik of the right continuation / its bytes, without the space before it",
        NO_LOGLIK,
    ),
    column(ITEMS, "margin", "nats", "loglik of the right choice - the highest of the others", NO_LOGLIK),
    column(ITEMS, "choice_log_loss", "nats", "-ln gold_probability", NO_LOGLIK),
    column(
        ITEMS,
        "agreement",
        "0, 1",
        "the likeliest choice is that of the source the model was pruned from",
        NO_SOURCE,
    ),
    column(
        ITEMS,
        "lost_context_tokens",
        "tokens",
        "tokens at the beginning of the context that did not fit, the most of its choices",
        EARLIER,
    ),
    column(
        ITEMS,
        "difficulty",
        "",
        "larger is harder; of the synthetic corpus: on average one document in 10^difficulty tells the fact or rule (arc_easy, arc_challenge, openbookqa, winogrande), minus the distance of the score from its threshold (boolq), slots that all choices share (hellaswag, piqa)",
        "the benchmark's file does not tell it",
    ),
    column(CURVES, "run", "", RUN, NEVER),
    column(CURVES, "arm", "", ARM, NEVER),
    column(CURVES, "seed", "", SEED, NEVER),
    column(CURVES, "step", "steps", "optimiser steps of this run so far", NEVER),
    column(CURVES, "tokens_seen", "tokens", "tokens this run itself has trained on so far", NEVER),
    column(CURVES, "params", "parameters", "parameters of the model at this step", NEVER),
    column(CURVES, "loss", "nats per token", "training loss of this step", "not finite"),
    column(CURVES, "grad_norm", "", "global gradient norm before clipping", "not measured"),
    column(CURVES, "learning_rate", "", "learning rate of this step", "not measured"),
    column(CURVES, "flops", "FLOP", "floating-point operations of this run itself so far", "not measured"),
    column(
        CURVES,
        "held_out_loss",
        "nats per token",
        "loss on the first held-out windows after this step",
        "not taken at this step",
    ),
    column(PRUNE, "run", "", RUN, NEVER),
    column(PRUNE, "event", "count", "number of the event, counted from 0", NEVER),
    column(PRUNE, "step", "steps", "optimiser steps of this run before the event", NEVER),
    column(PRUNE, "tokens_seen", "tokens", "tokens this run itself had trained on", NEVER),
    column(PRUNE, "type", "ffn, head, stem, head_dim, layer", "type of the group removed", NEVER),
    column(
        PRUNE,
        "layer",
        "index",
        "layer of the group in the source; `all` where one group leaves every layer, or the stem or a layer is pruned",
        NEVER,
    ),
    column(
        PRUNE,
        "index",
        "index",
        "number of the group in the source model; joined by `;`, one per layer of the source, where layer is `all` (nothing for a layer that is gone)",
        NEVER,
    ),
    column(
        PRUNE,
        "saliency",
        "normalised",
        "saliency of the group removed (mean over layers where layer is `all`)",
        "not finite",
    ),
    column(PRUNE, "params", "parameters", "parameters left after the event", NEVER),
    column(
        PRUNE,
        "gram_age_steps",
        "steps",
        "optimiser steps between the weights that the text of G passed through and the event",
        "no layerwise Hessian was used",
    ),
    column(
        PRUNE,
        "gram_age_events",
        "events",
        "pruning events between the weights that the text of G passed through and this one",
        "no layerwise Hessian was used",
    ),
    column(PRUNE, "gram_tokens", "tokens", "tokens summed over in G", "no layerwise Hessian was used"),
    column(
        PRUNE,
        "damping",
        "",
        "damping of G as used, relative to its mean diagonal: the most that any layer needed",
        "no second moments were factored",
    ),
    column(
        PRUNE,
        "fisher_unit",
        "",
        "what squared gradients were taken of: position, sequence or micro_batch",
        "the saliency reads no squared gradients",
    ),
    column(PRUNE, "fisher_units", "units", "number of such units", "the saliency reads no squared gradients"),
    column(
        PRUNE,
        "sums_from_event",
        "count",
        "event, counted from 0, before which the sums of scores were last taken whole; later ones correct them by what they remove",
        "the rule keeps no sums",
    ),
    column(CANDIDATES, "run", "", RUN, NEVER),
    column(CANDIDATES, "event", "count", "number of the event, as in `prune.csv`", NEVER),
    column(CANDIDATES, "type", "ffn, head, stem, head_dim, layer", "a type that the run prunes", NEVER),
    column(
        CANDIDATES,
        "saliency",
        "normalised",
        "saliency of the weakest group of this type before the event (its mean over layers where an event takes one of each)",
        "none is left to prune",
    ),
    column(
        CANDIDATES,
        "pruned_share",
        "share",
        "groups of this type in the source that are gone, this event included",
        NEVER,
    ),
    column(WIDTHS, "run", "", RUN, NEVER),
    column(WIDTHS, "arm", "", ARM, NEVER),
    column(WIDTHS, "seed", "", SEED, NEVER),
    column(WIDTHS, "layer", "index", "layer, counted from 0", NEVER),
    column(WIDTHS, "hidden_size", "channels", "width of the stem", NEVER),
    column(WIDTHS, "num_heads", "heads", "query heads", NEVER),
    column(WIDTHS, "num_kv_heads", "heads", "key-value heads", NEVER),
    column(WIDTHS, "intermediate_size", "channels", "width of the feed-forward layer", NEVER),
    column(
        WIDTHS,
        "head_dim",
        "channels",
        "channels of one head of q and k, two for each RoPE pair",
        "results of a version that did not record it",
    ),
    column(LEDGER, "run", "", RUN, NEVER),
    column(LEDGER, "arm", "", ARM, NEVER),
    column(LEDGER, "seed", "", SEED, NEVER),
    column(
        LEDGER,
        "part",
        "source, saliency, hessian, update, train, evaluation, teacher",
        "what was paid for",
        NEVER,
    ),
    column(LEDGER, "tokens", "tokens", "tokens processed for it", "the part processes none"),
    column(LEDGER, "flops", "FLOP", "floating-point operations spent on it", "not counted"),
    column(LEDGER, "seconds", "s", "wall time; differs from run to run", "not timed"),
    column(LATENCY, "run", "", RUN, NEVER),
    column(LATENCY, "arm", "", ARM, NEVER),
    column(LATENCY, "seed", "", SEED, NEVER),
    column(
        LATENCY,
        "phase",
        "prefill, decode",
        "reading a prompt in one pass, or generating tokens one by one, greedily",
        NEVER,
    ),
    column(LATENCY, "tokens", "tokens", "tokens read or generated in one measurement", NEVER),
    column(LATENCY, "threads", "threads", "threads that computed it", NEVER),
    column(LATENCY, "repeats", "count", "measurements, after one that does not count", NEVER),
    column(
        LATENCY,
        "seconds",
        "s",
        "median wall time of a measurement; differs from run to run",
        "not measured",
    ),
    column(LATENCY, "seconds_min", "s", "the shortest", "not measured"),
    column(LATENCY, "seconds_max", "s", "the longest", "not measured"),
    column(LATENCY, "tokens_per_second", "tokens per second", "tokens / seconds", "not measured"),
    column(SET_ASIDE, "run", "", RUN, NEVER),
    column(SET_ASIDE, "arm", "", ARM, NEVER),
    column(SET_ASIDE, "seed", "", SEED, NEVER),
    column(SET_ASIDE, "task", "", "benchmark task", NEVER),
    column(SET_ASIDE, "place", "index", "place of the item in its file, counted from 0", NEVER),
    column(SET_ASIDE, "item", "", "the item's own id, else its place", NEVER),
    column(SET_ASIDE, "reason", "", "why it could not be scored", NEVER),
    column(SET_ASIDE, "text", "", "end of the context and the continuation that could not be scored", NEVER),
    column(TIDY, "run", "", RUN, NEVER),
    column(TIDY, "arm", "", ARM, NEVER),
    column(TIDY, "seed", "", SEED, NEVER),
    column(TIDY, "task", "", "benchmark task", "the number is one of the run"),
    column(TIDY, "metric", "", "name of the number: a column of `evals.csv` or `runs.csv`", NEVER),
    column(TIDY, "value", "as `unit` says", "the number", NEVER),
    column(TIDY, "unit", "", "its unit", NEVER),
    column(TIDY, "low", "as `unit` says", "lower end of its 95 % interval", "no interval was recorded"),
    column(TIDY, "high", "as `unit` says", "upper end of it", "no interval was recorded"),
    column(TIDY, "items", "items", "items that it is a mean of", "the number is one of the run"),
    column(TIDY, "params", "parameters", "as in `runs.csv`", FAILED),
    column(TIDY, "tokens", "tokens", "as in `runs.csv`", UNKNOWN),
    column(TIDY, "total_tokens", "tokens", "as in `runs.csv`", UNKNOWN),
    column(TIDY, "flops", "FLOP", "as in `runs.csv`", UNKNOWN),
    column(TIDY, "total_flops", "FLOP", "as in `runs.csv`", UNKNOWN),
    column(
        COMPARISONS,
        "question",
        "comparison, ranking, interaction, slope",
        "what was asked: two arms or points, a pair of values of an axis, whether two axes interact, the gain per doubling",
        NEVER,
    ),
    column(
        COMPARISONS,
        "asked",
        "declared, exploratory",
        "whether the question was asked before the first result",
        NEVER,
    ),
    column(COMPARISONS, "family", "", "what it is corrected with", "the unnamed family, or exploratory"),
    column(COMPARISONS, "variant", "", "arm, and the values of axes at which it is taken", NEVER),
    column(COMPARISONS, "baseline", "", "what it is held against", "the question is a slope"),
    column(
        COMPARISONS,
        "point",
        "",
        "values of the axes that hold for both sides, as `axis = value` joined by `; `",
        "the estimate is a mean over all points, or there are no axes",
    ),
    column(COMPARISONS, "metric", "", "what was compared", NEVER),
    column(COMPARISONS, "unit", "", "unit of estimate, low, high, detectable and margin", NEVER),
    column(
        COMPARISONS,
        "estimate",
        "as `unit` says",
        "variant - baseline, mean over tasks, seeds and items; of a slope, gain per doubling",
        NO_PAIR,
    ),
    column(
        COMPARISONS,
        "low",
        "as `unit` says",
        "lower end of the interval: over new seeds and new items, over items alone with one seed",
        NO_PAIR,
    ),
    column(COMPARISONS, "high", "as `unit` says", "upper end of it", NO_PAIR),
    column(
        COMPARISONS,
        "level",
        "share",
        "confidence level of the interval; those of all pairs of an axis hold together at it",
        NO_PAIR,
    ),
    column(COMPARISONS, "p", "", "two-sided p of the estimate against 0, by its own spread", ONE_SEED),
    column(
        COMPARISONS,
        "p_corrected",
        "",
        "adjusted for all pairs of an axis (Tukey) and for the other questions of the family (Holm; a ranking counts as one question); of what is exploratory for the pairs or tetrads of its own question",
        "as p, or an exploratory comparison or slope",
    ),
    column(
        COMPARISONS,
        "tests",
        "tests",
        "tests and rankings of the family, each contrast of the same models once",
        ONE_SEED,
    ),
    column(COMPARISONS, "standard_error", "as `unit` says", "standard error of the estimate", NO_PAIR),
    column(
        COMPARISONS,
        "freedom",
        "",
        "degrees of freedom at level 0.05: seeds - 1, or between that and those of the items; of three and more values of an axis (values - 1) × (seeds - 1)",
        ONE_SEED,
    ),
    column(COMPARISONS, "seeds", "seeds", "seeds that both sides finished", NEVER),
    column(COMPARISONS, "items", "items", "items of all tasks together", "the metric is one of runs"),
    column(
        COMPARISONS,
        "detectable",
        "as `unit` says",
        "smallest true difference that these seeds and items find with 80 % probability at level 0.05 / tests",
        ONE_SEED,
    ),
    column(
        COMPARISONS,
        "seeds_needed",
        "seeds",
        "seeds that find a difference as large as the observed one with 80 % probability at that level",
        "as detectable, or the items hide it from any number of seeds",
    ),
    column(
        COMPARISONS,
        "margin",
        "as `unit` says",
        "margin of the question of equivalence",
        "none was asked",
    ),
    column(
        COMPARISONS,
        "p_equivalence",
        "",
        "larger p of the two one-sided tests that the difference is within the margin",
        "none was asked, or one seed",
    ),
    column(
        COMPARISONS,
        "p_equivalence_corrected",
        "",
        "Holm-adjusted over the family",
        "as p_equivalence, or exploratory",
    ),
    column(
        COMPARISONS,
        "outcome",
        "better, worse, equivalent, inconclusive, identical, one_seed, no_spread, exploratory, no_answer",
        "what may be said of the variant after correction; of an interaction or slope, better where it is above 0",
        NEVER,
    ),
    column(PROBE, "rule", "", RULE, NEVER),
    column(PROBE, "fisher_unit", "position, sequence", UNIT, NO_SQUARES),
    column(PROBE, "type", "", "type of the groups", NEVER),
    column(
        PROBE,
        "layers",
        "layers",
        "layers that had groups to remove; 1 for types of which the model has one set",
        NEVER,
    ),
    column(PROBE, "groups", "groups", "groups that were removed one by one", NEVER),
    column(PROBE, "calibrations", "sets", "calibration sets that the rule scored the groups on", NEVER),
    column(
        PROBE,
        "spearman",
        "",
        "rank correlation of score and change of loss over the groups of a layer, mean over layers and calibration sets",
        CONSTANT,
    ),
    column(
        PROBE,
        "spearman_low",
        "",
        "2.5 % quantile over 1000 resamples of groups within layers and of calibration sets",
        CONSTANT,
    ),
    column(PROBE, "spearman_high", "", "97.5 % quantile of the same", CONSTANT),
    column(
        PROBE,
        "lowest_quarter_delta",
        "nats per token",
        "sum of delta_loss over the quarter of each layer's groups that the rule would remove first, mean over calibration sets",
        NEVER,
    ),
    column(
        PROBE,
        "oracle_quarter_delta",
        "nats per token",
        "the same of a rule that knows delta_loss",
        NEVER,
    ),
    column(PROBE_GROUPS, "rule", "", RULE, NEVER),
    column(PROBE_GROUPS, "fisher_unit", "position, sequence", UNIT, NO_SQUARES),
    column(PROBE_GROUPS, "calibration", "index", "calibration set, counted from 0", NEVER),
    column(PROBE_GROUPS, "type", "", "type of the group", NEVER),
    column(PROBE_GROUPS, "layer", "index", "its layer; 0 for types of which the model has one set", NEVER),
    column(PROBE_GROUPS, "index", "index", "its number among the groups of the layer", NEVER),
    column(PROBE_GROUPS, "score", "", "saliency, summed over the group and not normalised", NEVER),
    column(
        PROBE_GROUPS,
        "delta_loss",
        "nats per token",
        "held-out loss without the group less that of the whole model",
        NEVER,
    ),
];

/// Columns of `prune.csv` when every type had columns of its own.
pub const OLD_PRUNE: [&str; 16] = [
    "run",
    "event",
    "step",
    "tokens_seen",
    "type",
    "layer",
    "index",
    "saliency",
    "candidate_ffn",
    "candidate_head",
    "candidate_stem",
    "pruned_share_ffn",
    "pruned_share_head",
    "pruned_share_stem",
    "params",
    "gram_age_steps",
];

/// Columns of `file` in order, without the axes.
pub fn columns(file: &str) -> Vec<&'static str> {
    COLUMNS.iter().filter(|c| c.file == file).map(|c| c.name).collect()
}

/// Header of `file`, the axes put in their place where it has them.
pub fn header(file: &str, axes: &[String]) -> Vec<String> {
    let mut names: Vec<String> = columns(file).into_iter().map(String::from).collect();
    if let Some(at) = axes_after(file).and_then(|after| names.iter().position(|n| n == after)) {
        names.splice(at + 1..at + 1, axes.iter().cloned());
    }
    names
}

/// Unit of a column.
pub fn unit(file: &str, name: &str) -> &'static str {
    COLUMNS.iter().find(|c| c.file == file && c.name == name).map_or("", |c| c.unit)
}

/// The dictionary as a Markdown page.
pub fn markdown(axes: &[String]) -> String {
    let mut page = format!(
        "# Data dictionary\n\nSchema version {SCHEMA_VERSION}. CSV with a header line, UTF-8, `\\n` line ends. An empty \
         cell means not measured, never zero. Everything is reproducible to the byte but `seconds`, \
         `peak_memory_bytes`, `devices` and `latency.csv`.\n"
    );
    for (file, row) in FILES.into_iter().chain(REPORT_FILES).chain(PROBE_FILES) {
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## `{file}`: {row}\n\n| column | unit | meaning | empty when |\n|---|---|---|---|\n"
        );
        for c in COLUMNS.iter().filter(|c| c.file == file) {
            let _ = writeln!(page, "| `{}` | {} | {} | {} |", c.name, c.unit, c.meaning, c.empty_when);
            if axes_after(file) == Some(c.name) {
                for axis in axes {
                    let _ = writeln!(
                        page,
                        "| `{axis}` | | value of this axis of the experiment | nothing of the run reads it |"
                    );
                }
            }
        }
    }
    page
}
