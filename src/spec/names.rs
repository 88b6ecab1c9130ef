//! The words of an experiment file and what they stand for; a test holds them equal to the serialised names.
use super::types::*;
use crate::rules::saliency::Hessian;

pub(super) const ENGINES: [(&str, EngineKind); 4] = [
    ("auto", EngineKind::Auto),
    ("cpu", EngineKind::Cpu),
    ("cuda", EngineKind::Cuda),
    ("reference", EngineKind::Reference),
];
pub(super) const PRECISIONS: [(&str, Precision); 2] = [("bf16", Precision::Bf16), ("f32", Precision::F32)];
pub(super) const CPU_BF16: [(&str, CpuBf16); 2] =
    [("avx512_bf16", CpuBf16::Avx512Bf16), ("amx_bf16", CpuBf16::AmxBf16)];
pub(super) const SCHEDULES: [(&str, ScheduleKind); 2] =
    [("cosine", ScheduleKind::Cosine), ("wsd", ScheduleKind::Wsd)];
pub(super) const RECOVERY_SCHEDULES: [(&str, RecoverySchedule); 3] = [
    ("rewarm", RecoverySchedule::Rewarm),
    ("continue", RecoverySchedule::Continue),
    ("branch", RecoverySchedule::Branch),
];
pub(super) const SHUFFLES: [(&str, Shuffle); 2] =
    [("windows", Shuffle::Windows), ("documents", Shuffle::Documents)];
pub(super) const PACKINGS: [(&str, Packing); 2] =
    [("crossing", Packing::Crossing), ("separate", Packing::Separate)];
pub(super) const BAD_ROWS: [(&str, BadRows); 2] = [("refuse", BadRows::Refuse), ("skip", BadRows::Skip)];
pub(super) const GROUP_TYPES: [(&str, GroupType); 5] = [
    ("ffn", GroupType::Ffn),
    ("head", GroupType::Head),
    ("stem", GroupType::Stem),
    ("head_dim", GroupType::HeadDim),
    ("layer", GroupType::Layer),
];
pub(super) const SCOPES: [(&str, Scope); 2] = [("uniform", Scope::Uniform), ("per_layer", Scope::PerLayer)];
pub(super) const HEAD_UNITS: [(&str, HeadUnit); 2] =
    [("kv_group", HeadUnit::KvGroup), ("query_per_group", HeadUnit::QueryPerGroup)];
pub(super) const REDUCTIONS: [(&str, Reduction); 5] = [
    ("sum", Reduction::Sum),
    ("mean", Reduction::Mean),
    ("max", Reduction::Max),
    ("prod", Reduction::Prod),
    ("first", Reduction::First),
];
pub(super) const NORMALISERS: [(&str, Normaliser); 4] = [
    ("none", Normaliser::None),
    ("per_parameter", Normaliser::PerParameter),
    ("layer_mean", Normaliser::LayerMean),
    ("layer_zscore", Normaliser::LayerZscore),
];
pub(super) const FISHER_UNITS: [(&str, FisherUnit); 3] = [
    ("position", FisherUnit::Position),
    ("sequence", FisherUnit::Sequence),
    ("micro_batch", FisherUnit::MicroBatch),
];
pub(super) const FISHER_SCALES: [(&str, FisherScale); 2] =
    [("tokens", FisherScale::Tokens), ("none", FisherScale::None)];
pub(super) const HESSIANS: [(&str, Hessian); 3] = [
    ("none", Hessian::None),
    ("global_diagonal", Hessian::GlobalDiagonal),
    ("layerwise", Hessian::Layerwise),
];
pub(super) const SHAPES: [(&str, DirectShape); 3] = [
    ("searched", DirectShape::Searched),
    ("proportional", DirectShape::Proportional),
    ("source", DirectShape::Source),
];
pub(super) const DIRECT_BUDGETS: [(&str, DirectBudget); 3] = [
    ("recovery_tokens", DirectBudget::RecoveryTokens),
    ("total_tokens", DirectBudget::TotalTokens),
    ("total_flops", DirectBudget::TotalFlops),
];
/// Tasks of the paper's table, in its order; generated corpora have items of each.
pub const TASKS: [&str; 7] =
    ["arc_easy", "arc_challenge", "boolq", "hellaswag", "openbookqa", "piqa", "winogrande"];
/// Tasks that need a folder of benchmark files.
pub const FOLDER_TASKS: [&str; 3] = ["social_iqa", "mmlu", "mmlu_continuation"];
#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    fn same<T: Serialize>(names: &[(&str, T)]) {
        for (name, value) in names {
            assert_eq!(serde_json::to_value(value).unwrap(), *name);
        }
    }

    #[test]
    fn words_of_the_file_are_the_serialised_names() {
        same(&ENGINES);
        same(&PRECISIONS);
        same(&CPU_BF16);
        same(&SCHEDULES);
        same(&RECOVERY_SCHEDULES);
        same(&SHUFFLES);
        same(&PACKINGS);
        same(&BAD_ROWS);
        same(&GROUP_TYPES);
        same(&SCOPES);
        same(&HEAD_UNITS);
        same(&REDUCTIONS);
        same(&NORMALISERS);
        same(&FISHER_UNITS);
        same(&FISHER_SCALES);
        same(&HESSIANS);
        same(&SHAPES);
        same(&DIRECT_BUDGETS);
    }
}
