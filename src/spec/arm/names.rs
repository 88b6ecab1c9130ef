//! Built-in arms, and the canonical name of any: what its stages are called, however people call the arm.
use super::{ArmSpec, How, Pruning, Shape, Start, Tokens, Training};

/// The arm whose widths are the *searched* ones, and whose FLOPs budgets are counted in.
pub(super) const PRUNING_AWARE: &str = "pruning_aware";

const RECOVERY: Training = Training { tokens: Tokens::Recovery, distils: false };

/// The arm called `name` that needs no other key.
pub(in crate::spec) fn built_in(name: &str) -> Option<ArmSpec> {
    let scratch = |tokens| (Start::Scratch(Shape::Source), None, Some(Training { tokens, distils: false }));
    let prune = |how| Some(Pruning { how, widths_of: None });
    let (from, prune, train) = match name {
        "source" => scratch(Tokens::Source),
        "source_stable" => scratch(Tokens::SourceStable),
        "source_continued" => (Start::Source, None, Some(RECOVERY)),
        PRUNING_AWARE => (Start::Source, prune(How::WhileTraining), Some(RECOVERY)),
        "one_shot" => (Start::Source, prune(How::AtOnce { stages: 1 }), None),
        "one_shot_recover" => (Start::Source, prune(How::AtOnce { stages: 1 }), Some(RECOVERY)),
        _ => return None,
    };
    Some(ArmSpec { name: name.to_string(), from, prune, train, set: Vec::new() })
}

impl ArmSpec {
    /// The arm called `name` that needs no other key.
    pub fn built_in(name: &str) -> Option<ArmSpec> {
        built_in(name)
    }

    /// Canonical name of what is computed: `pruning_aware`, `direct_searched_total_tokens`, `iterative_4`, …; equal for
    /// equal answers but for the names of other arms.
    pub fn kind(&self) -> String {
        let trained = self.train.is_some();
        let mut kind = match (&self.from, &self.prune) {
            (Start::Scratch(_), None) if self.is_source() => return "source".into(),
            (Start::Scratch(Shape::Source), None) => match self.train {
                Some(Training { tokens: Tokens::SourceStable, .. }) => return "source_stable".into(),
                _ => "direct_source_shape".to_string(),
            },
            (Start::Scratch(Shape::Proportional), None) => "direct_proportional".into(),
            (Start::Scratch(Shape::Of(_)), None) => "direct_searched".into(),
            (Start::Source, None) => "source_continued".into(),
            (from, Some(prune)) => {
                let name = match prune.how {
                    How::WhileTraining => PRUNING_AWARE.to_string(),
                    How::AtOnce { stages: 1 } if trained => "one_shot_recover".into(),
                    How::AtOnce { stages: 1 } => "one_shot".into(),
                    How::AtOnce { stages } => format!("iterative_{stages}"),
                };
                match from {
                    Start::Source => name,
                    Start::Scratch(_) => format!("scratch_{name}"),
                }
            }
        };
        if self.prune.as_ref().is_some_and(|prune| prune.widths_of.is_some()) {
            kind.push_str("_at_widths");
        }
        let pretrained = matches!(self.from, Start::Scratch(_));
        match self.train.map(|train| train.tokens) {
            Some(Tokens::Recovery) if pretrained => kind.push_str("_recovery_tokens"),
            Some(Tokens::Total { source_share }) => kind.push_str(&total("tokens", source_share)),
            Some(Tokens::TotalFlops { source_share }) => kind.push_str(&total("flops", source_share)),
            _ => {}
        }
        if self.distils() {
            kind.push_str("_distilled");
        }
        kind
    }
}

fn total(of: &str, source_share: f64) -> String {
    match source_share {
        1.0 => format!("_total_{of}"),
        share => format!("_total_{of}_with_{share}_of_source"),
    }
}
