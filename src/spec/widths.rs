//! Pruning to the widths of another arm (`at_widths_of`): whether the groups of this arm lead there.
//!
//! Every group that the other arm took must be one that this arm can take, or several of them: both are of one model, the
//! other's types are among this arm's, this arm's blocks divide the other's, heads go in the same unit, and where the other's
//! layers lose groups one by one, so do this arm's.
use super::arm::{ArmSpec, Pruning, Shape, Start};
use super::types::{PruneSpec, RunSpec, Scope};
use crate::schema::groups::{GroupType, HeadUnit};

/// Why an arm cannot end with the widths that it asks for, and what would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WidthFault {
    pub message: String,
    pub hint: Option<String>,
}

fn fault(message: String, hint: impl Into<String>) -> WidthFault {
    WidthFault { message, hint: Some(hint.into()) }
}

/// What an arm lost on its way to its widths.
struct Loss<'a> {
    types: &'a [GroupType],
    scope: Scope,
    block: usize,
    head_unit: HeadUnit,
}

/// A proportional model has any widths, the same in all layers.
const PROPORTIONAL: Loss<'static> = Loss {
    types: &[GroupType::Ffn, GroupType::Head, GroupType::Stem],
    scope: Scope::Uniform,
    block: 1,
    head_unit: HeadUnit::KvGroup,
};

impl<'a> Loss<'a> {
    fn by(prune: &'a PruneSpec) -> Self {
        Loss { types: &prune.types, scope: prune.scope, block: prune.block, head_unit: prune.head_unit }
    }
}

/// The fault of `arm`, which follows `spec`, if it prunes to the widths of another arm and cannot; `find` gives arms and their
/// configurations by name.
pub(super) fn unreachable<'a>(
    arm: &ArmSpec,
    spec: &RunSpec,
    find: &dyn Fn(&str) -> Option<(ArmSpec, &'a RunSpec)>,
) -> Option<WidthFault> {
    let of = arm.prune.as_ref()?.widths_of.as_deref()?;
    if !matches!(arm.from, Start::Source | Start::Scratch(Shape::Source)) {
        let message = format!("`{}` does not start at the source's widths", arm.name);
        return Some(fault(message, "write `from = \"source\"`, or `shape = \"source\"`"));
    }
    let mut loses = false;
    let mut next = Some(of.to_string());
    // Names are known to lead to an end.
    while let Some((other, theirs)) = next.as_deref().and_then(find) {
        if theirs.model != spec.model {
            let message = format!("`{}` has another [model] than `{}`", other.name, arm.name);
            return Some(fault(message, "give both the same `set` of model keys"));
        }
        let pruned = other.prune.as_ref().filter(|prune| prune.widths_of.is_none());
        let from = (other.from == Start::Scratch(Shape::Proportional)).then_some(PROPORTIONAL);
        for loss in from.into_iter().chain(pruned.map(|_| Loss::by(&theirs.prune))) {
            loses = true;
            if let Some(fault) = misses(&spec.prune, &loss, &other.name) {
                return Some(fault);
            }
        }
        next = match (&other.prune, &other.from) {
            (Some(Pruning { widths_of: Some(name), .. }), _) | (_, Start::Scratch(Shape::Of(name))) => {
                Some(name.clone())
            }
            _ => None,
        };
    }
    (!loses).then(|| {
        let message = format!("`{of}` has the source's widths: nothing would be pruned");
        fault(message, "name an arm that prunes")
    })
}

/// Why groups by `prune` cannot make the `loss` of the arm called `other`.
fn misses(prune: &PruneSpec, loss: &Loss<'_>, other: &str) -> Option<WidthFault> {
    let names = |types: &[GroupType]| types.iter().map(|kind| kind.name()).collect::<Vec<_>>();
    let missing: Vec<GroupType> =
        loss.types.iter().copied().filter(|kind| !prune.types.contains(kind)).collect();
    if !missing.is_empty() {
        let message = format!("`{other}` also loses groups of {}", names(&missing).join(", "));
        let hint = format!("nearest valid prune.types: all of {}", names(loss.types).join(", "));
        return Some(fault(message, hint));
    }
    if loss.scope == Scope::PerLayer && loss.types.contains(&GroupType::Layer) {
        let message = format!("`{other}` loses whole layers that differ, so its widths say not which");
        return Some(fault(
            message,
            "leave `layer` out of its prune.types, or give it prune.scope = \"uniform\"",
        ));
    }
    if loss.scope == Scope::PerLayer && prune.scope == Scope::Uniform {
        let message = format!(
            "the layers of `{other}` may lose different numbers of groups, and prune.scope is `uniform`"
        );
        return Some(fault(message, "set = { \"prune.scope\" = \"per_layer\" }"));
    }
    let has_blocks = loss.types.iter().any(|kind| matches!(kind, GroupType::Ffn | GroupType::Stem));
    if has_blocks && !loss.block.is_multiple_of(prune.block) {
        let message = format!(
            "`{other}` loses blocks of {}, which prune.block = {} does not divide",
            loss.block, prune.block
        );
        return Some(fault(message, format!("nearest valid prune.block: 1, {}", loss.block)));
    }
    if loss.types.contains(&GroupType::Head) && loss.head_unit != prune.head_unit {
        let message = format!("`{other}` loses heads in another prune.head_unit");
        return Some(fault(message, "give both the same"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{no_model, parse};
    use std::path::Path;

    const EXAMPLE: &str = include_str!("../../tests/fixtures/example.toml");

    fn faults(arms: &str) -> Vec<String> {
        match parse(&format!("{EXAMPLE}\n{arms}"), "test", Path::new("/nowhere"), &no_model) {
            Ok(_) => Vec::new(),
            Err(faults) => faults
                .iter()
                .map(|fault| {
                    format!("{}: {} | {}", fault.key, fault.message, fault.hint.as_deref().unwrap_or(""))
                })
                .collect(),
        }
    }

    #[test]
    fn widths_that_groups_lead_to_are_taken() {
        let valid = "[[arms]]\narm = \"at_widths_of\"\nof = \"pruning_aware\"\n\
                     [[arms]]\nname = \"finer\"\nfrom = \"source\"\nprune = \"while_training\"\nwidths_of = \"rough\"\n\
                     train = \"recovery_tokens\"\n\
                     [[arms]]\narm = \"one_shot\"\nname = \"rough\"\nset = { \"prune.block\" = 4 }\n\
                     [[arms]]\narm = \"at_widths_of\"\nname = \"third\"\nof = \"finer\"\nset = { \"prune.scope\" = \"per_layer\" }\n\
                     [[arms]]\narm = \"at_widths_of\"\nname = \"scaled\"\nof = \"direct_proportional_total_tokens\"\n";
        assert_eq!(faults(valid), [""; 0]);
    }

    #[test]
    fn widths_that_groups_do_not_lead_to_are_refused() {
        for (other, own, message) in [
            (
                "{ \"prune.scope\" = \"per_layer\" }",
                "{}",
                "may lose different numbers of groups, and prune.scope is",
            ),
            (
                "{ \"prune.block\" = 4 }",
                "{ \"prune.block\" = 8 }",
                "loses blocks of 4, which prune.block = 8",
            ),
            (
                "{ \"prune.types\" = [\"ffn\", \"layer\"] }",
                "{}",
                "also loses groups of layer | nearest valid prune.types",
            ),
            (
                "{ \"prune.types\" = [\"ffn\", \"layer\"], \"prune.scope\" = \"per_layer\" }",
                "{ \"prune.types\" = [\"ffn\", \"layer\"], \"prune.scope\" = \"per_layer\" }",
                "loses whole layers that differ",
            ),
            ("{ \"model.num_layers\" = 3 }", "{}", "has another [model]"),
        ] {
            let arms = format!(
                "[[arms]]\narm = \"one_shot\"\nname = \"other\"\nset = {other}\n\
                 [[arms]]\narm = \"at_widths_of\"\nof = \"other\"\nset = {own}\n"
            );
            let found = faults(&arms);
            assert!(found.len() == 1 && found[0].contains(message), "{message}: {found:?}");
            assert!(found[0].starts_with("arms[7].of: "), "{found:?}");
        }
        let whole = faults("[[arms]]\narm = \"at_widths_of\"\nof = \"source\"\n");
        assert!(whole.len() == 1 && whole[0].contains("nothing would be pruned"), "{whole:?}");
        let twice = faults(
            "[[arms]]\nname = \"own\"\nfrom = \"scratch\"\nshape = \"proportional\"\nprune = \"at_once\"\n\
             widths_of = \"one_shot\"\ntrain = \"recovery_tokens\"\n",
        );
        assert!(twice.len() == 1 && twice[0].contains("does not start at the source's widths"), "{twice:?}");
    }
}
