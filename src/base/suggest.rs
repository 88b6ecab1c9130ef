//! Did you mean …? The nearest valid name to a mistyped one.

/// Names by which others call what has another name here: tasks, tables and keys.
const ALIASES: [(&str, &str); 27] = [
    ("adam_beta1", "beta1"),
    ("adam_beta2", "beta2"),
    ("adam_epsilon", "epsilon"),
    ("arc-c", "arc_challenge"),
    ("arc-e", "arc_easy"),
    ("arc_c", "arc_challenge"),
    ("arc_e", "arc_easy"),
    ("batch_size", "micro_batch"),
    ("dataset", "data"),
    ("evaluation", "eval"),
    ("ffn_hidden_size", "intermediate_size"),
    ("grad_clip", "clip_norm"),
    ("lr", "learning_rate"),
    ("max_grad_norm", "clip_norm"),
    ("n_heads", "num_heads"),
    ("n_layers", "num_layers"),
    ("num_attention_heads", "num_heads"),
    ("num_hidden_layers", "num_layers"),
    ("num_key_value_heads", "num_kv_heads"),
    ("obqa", "openbookqa"),
    ("pruning", "prune"),
    ("seq_len", "context_length"),
    ("siqa", "social_iqa"),
    ("social_i_qa", "social_iqa"),
    ("socialiqa", "social_iqa"),
    ("training", "train"),
    ("wd", "weight_decay"),
];

/// The candidate nearest to `name`, or `None` where nothing is near enough to be what was meant.
///
/// An alias in use stands for its candidate. Else distance is Damerau–Levenshtein; near enough is at most a third of the
/// longer name's letters, and at least one. Ties go to the earlier candidate.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == lower).map(|(_, meant)| *meant);
    if let Some(meant) = alias.and_then(|meant| candidates.iter().copied().find(|name| *name == meant)) {
        return Some(meant);
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            let longest = name.chars().count().max(candidate.chars().count());
            (distance <= (longest / 3).max(1)).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let names = ["random", "magnitude_l2", "taylor1", "taylor_mix"];
        assert_eq!(nearest("taylr1", names), Some("taylor1"));
        assert_eq!(nearest("Random", names), Some("random"));
        assert_eq!(nearest("taylor-mix", names), Some("taylor_mix"));
        assert_eq!(nearest("hessian", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("siqa", ["piqa", "social_iqa"]), Some("social_iqa"));
        assert_eq!(nearest("siqa", ["piqa"]), Some("piqa"));
        assert_eq!(nearest("pruning", ["train", "prune"]), Some("prune"));
    }
}
