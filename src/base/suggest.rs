//! Did you mean …? The nearest valid name to a mistyped one.

/// The candidate nearest to `name`, or `None` where nothing is near enough to be what was meant.
///
/// Distance is Damerau–Levenshtein; near enough is at most a third of the longer name's letters, and at least
/// one. Ties go to the earlier candidate.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
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
    }
}
