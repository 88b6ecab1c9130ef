//! The mini-groups of one run: which types it prunes, in what units, down to what floors, and what an event takes.
//!
//! What a group of a type is, and which parameters it owns, is said in [`crate::schema::groups`]. Blocks are cut once, in the
//! source, so a group keeps its number (its *original index*) while others disappear, and `block` must divide the width.
//! Floors (`min_ffn`, `min_heads`, `min_stem`, `min_head_dim`, `min_layers`) count groups.
//!
//! | `scope` | one event takes |
//! |---|---|
//! | `uniform` | one group in every layer (`ffn`, `head`, `head_dim`); one of the model (`stem`, `layer`): all layers keep one shape |
//! | `per_layer` | one group of one layer, or of the model |
use super::error::PruneError;
use super::survivors::Survivors;
use crate::model::{LayerShape, ModelConfig};
use crate::schema::Dim;
use crate::schema::groups::{Cut, GroupType};
use crate::spec::{PruneSpec, Scope};

/// One group of the model as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId {
    pub kind: GroupType,
    /// A layer; 0 for types of which the model has one set.
    pub place: usize,
    pub position: usize,
}

/// How models of one source are cut into groups. `config` arguments are shapes reached from that source.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    cut: Cut,
    scope: Scope,
    /// Those that `prune.types` names, in the order that breaks ties.
    types: Vec<GroupType>,
    source: ModelConfig,
    /// Groups of the source that stay, by type and place of the source.
    floors: Vec<(GroupType, Vec<usize>)>,
}

impl Groups {
    /// # Errors
    /// [`PruneError::Indivisible`], [`PruneError::HeadLayout`], [`PruneError::FloorAboveModel`] and, where the end is given,
    /// [`PruneError::FixedShape`].
    pub fn new(spec: &PruneSpec, source: &ModelConfig) -> Result<Self, PruneError> {
        for (layer, shape) in source.layers.iter().enumerate() {
            let LayerShape { num_heads, num_kv_heads, .. } = *shape;
            if num_kv_heads == 0 || num_heads == 0 || !num_heads.is_multiple_of(num_kv_heads) {
                let nearest = num_heads.next_multiple_of(num_kv_heads.max(1)).max(1);
                return Err(PruneError::HeadLayout { layer, num_heads, num_kv_heads, nearest });
            }
        }
        let cut = Cut { block: spec.block, head_unit: spec.head_unit };
        let types = GroupType::ALL.into_iter().filter(|kind| spec.types.contains(kind)).collect();
        let mut groups = Groups { cut, scope: spec.scope, types, source: source.clone(), floors: Vec::new() };
        for (kind, width_name) in [(GroupType::Ffn, "intermediate_size"), (GroupType::Stem, "hidden_size")] {
            for place in 0..kind.places(source) {
                let width = source.size(kind.dim(place));
                if groups.allows(kind) && (spec.block == 0 || !width.is_multiple_of(spec.block)) {
                    let nearest = nearest_divisors(spec.block, width);
                    return Err(PruneError::Indivisible { block: spec.block, width_name, width, nearest });
                }
            }
        }
        for &kind in &groups.types.clone() {
            let (key, floor) = spec.floor(kind);
            let floor = floor.max(1);
            let most = (0..groups.places(kind, source)).map(|place| groups.count(kind, source, place)).min();
            if let Some(most) = most.filter(|most| floor > *most) {
                return Err(PruneError::FloorAboveModel { key, floor, most });
            }
            groups.floors.push((kind, vec![floor; groups.places(kind, source)]));
        }
        if let Some(shape) = &spec.fixed_shape {
            groups.fix(&shape.config(source).map_err(|what| PruneError::FixedShape { what })?)?;
        }
        Ok(groups)
    }

    /// The same groups, of which exactly those of `shape` stay: `shape` is reached from the source by their removal.
    ///
    /// # Errors
    /// [`PruneError::FixedShape`] where it is not.
    pub fn fix(&mut self, shape: &ModelConfig) -> Result<(), PruneError> {
        let refuse = |what: String| Err(PruneError::FixedShape { what });
        let per_layer = shape.layers.len() == self.source.layers.len();
        let mut reached = self.source.clone();
        for (kind, floors) in &mut self.floors {
            for (place, floor) in floors.iter_mut().enumerate() {
                let at = if per_layer { place } else { 0 };
                let (has, wanted) =
                    (kind.count(self.cut, &self.source, place), kind.count(self.cut, shape, at));
                if wanted == 0 || wanted > has {
                    return refuse(format!(
                        "{wanted} {} groups of the {has} that layer {place} of the source has",
                        kind.name()
                    ));
                }
                *floor = wanted;
            }
            let lost = |place: usize, floor: &usize| kind.count(self.cut, &self.source, place) - floor;
            let uneven =
                floors.iter().enumerate().any(|(place, floor)| lost(place, floor) != lost(0, &floors[0]));
            if uneven && self.scope == Scope::Uniform {
                return refuse(format!(
                    "the layers lose different numbers of {} groups, and prune.scope is `uniform`\nhint: give prune.scope = \"per_layer\"",
                    kind.name()
                ));
            }
        }
        for (kind, floors) in &self.floors {
            for (place, floor) in floors.iter().enumerate() {
                let gone = kind.count(self.cut, &self.source, place) - floor;
                reached = kind.smaller(self.cut, &reached, place, gone);
            }
        }
        let counts = |config: &ModelConfig| {
            let sizes = |i| {
                [Dim::QueryHead(i), Dim::KvHead(i), Dim::HeadDim(i), Dim::Ffn(i)].map(|dim| config.size(dim))
            };
            (config.hidden_size, (0..config.layers.len()).map(sizes).collect::<Vec<_>>())
        };
        if counts(&reached) != counts(shape) {
            return refuse(format!(
                "the widths are not those that groups of prune.types leave; nearest: {}",
                widths(&reached)
            ));
        }
        Ok(())
    }

    /// Whether `prune.types` names this type.
    pub fn allows(&self, kind: GroupType) -> bool {
        self.types.contains(&kind)
    }

    /// The types that `prune.types` names, in the order that breaks ties.
    pub fn types(&self) -> &[GroupType] {
        &self.types
    }

    pub fn cut(&self) -> Cut {
        self.cut
    }

    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Channels of one `ffn` or `stem` group.
    pub fn block(&self) -> usize {
        self.cut.block
    }

    /// Least groups that stay at a place of the source.
    pub fn floor(&self, kind: GroupType, place: usize) -> usize {
        let floors = self.floors.iter().find(|(other, _)| *other == kind);
        floors.and_then(|(_, floors)| floors.get(place)).copied().unwrap_or(1)
    }

    /// Places that have groups of their own: the layers, or the model (`stem`, `layer`).
    pub fn places(&self, kind: GroupType, config: &ModelConfig) -> usize {
        kind.places(config)
    }

    /// Groups of this type at `place` (a layer; 0 for `stem` and `layer`).
    pub fn count(&self, kind: GroupType, config: &ModelConfig, place: usize) -> usize {
        kind.count(self.cut, config, place)
    }

    /// Groups of this type in the whole model.
    pub fn count_all(&self, kind: GroupType, config: &ModelConfig) -> usize {
        (0..self.places(kind, config)).map(|place| self.count(kind, config, place)).sum()
    }

    /// Groups at `place` that the floor does not hold; layers may have gone, so a floor of one layer is that of all where they
    /// can.
    pub(super) fn spare(&self, kind: GroupType, config: &ModelConfig, place: usize) -> usize {
        let whole = config.layers.len() == self.source.layers.len();
        let floor = self.floor(kind, if whole { place } else { 0 });
        self.count(kind, config, place).saturating_sub(floor)
    }

    /// The places where an event of this type can take a group.
    pub fn open_places(&self, kind: GroupType, config: &ModelConfig) -> Vec<usize> {
        let places = 0..self.places(kind, config);
        if self.allows(kind) {
            places.filter(|&place| self.spare(kind, config, place) > 0).collect()
        } else {
            vec![]
        }
    }

    /// Events of this type that the floors still permit; 0 for a type that `prune.types` does not name.
    pub fn events_left(&self, kind: GroupType, config: &ModelConfig) -> usize {
        if !self.allows(kind) {
            return 0;
        }
        let spare = (0..self.places(kind, config)).map(|place| self.spare(kind, config, place));
        match self.scope {
            Scope::Uniform => spare.min().unwrap_or(0),
            Scope::PerLayer => spare.sum(),
        }
    }

    /// Parameters of every group of a type: `[place][position]`.
    pub fn group_params(&self, kind: GroupType, config: &ModelConfig) -> Vec<Vec<u64>> {
        kind.params(self.cut, config)
    }

    /// The group's number in the source, of the group now at `position`.
    pub fn original(&self, kind: GroupType, survivors: &Survivors, place: usize, position: usize) -> usize {
        let now = survivors.shape(&self.source);
        self.original_in(kind, survivors, &now, place, position)
    }

    /// As [`Groups::original`], `now` being the shape of what is left.
    pub fn original_in(
        &self,
        kind: GroupType,
        survivors: &Survivors,
        now: &ModelConfig,
        place: usize,
        position: usize,
    ) -> usize {
        let dim = kind.dim(place);
        let first = kind.pattern(self.cut, now, dim).map_or(0, |pattern| pattern.first(position));
        let source_dim = kind.dim(self.source_place(kind, survivors, place));
        let index = match dim {
            Dim::Layer => survivors.layers[first].layer,
            Dim::Hidden => survivors.stem[first],
            Dim::Ffn(layer) => survivors.layers[layer].ffn[first],
            Dim::QueryHead(layer) => survivors.layers[layer].query_heads[first],
            Dim::KvHead(layer) => survivors.layers[layer].kv_heads[first],
            Dim::HeadDim(layer) => survivors.layers[layer].rotary_pairs[first],
            Dim::One | Dim::Vocab | Dim::ValueDim => first,
        };
        kind.pattern(self.cut, &self.source, source_dim).map_or(index, |pattern| pattern.group(index))
    }

    /// The place in the source of a place in the model that is left.
    pub fn source_place(&self, kind: GroupType, survivors: &Survivors, place: usize) -> usize {
        if kind.is_per_layer() { survivors.layers[place].layer } else { place }
    }

    /// What an event keeps: everything but these groups.
    pub fn without(&self, config: &ModelConfig, taken: &[GroupId]) -> Survivors {
        let mut kept = Survivors::all(config);
        for &GroupId { kind, place, position } in taken {
            let keep = |dim: Dim, kept: &mut Vec<usize>| {
                if let Some(pattern) = kind.pattern(self.cut, config, dim) {
                    kept.retain(|&index| pattern.group(index) != position);
                }
            };
            if let Some(pattern) = kind.pattern(self.cut, config, Dim::Layer) {
                kept.layers.retain(|kept| pattern.group(kept.layer) != position);
            }
            keep(Dim::Hidden, &mut kept.stem);
            if let Some(layer) =
                kept.layers.iter_mut().find(|kept| kind.is_per_layer() && kept.layer == place)
            {
                keep(Dim::Ffn(place), &mut layer.ffn);
                keep(Dim::KvHead(place), &mut layer.kv_heads);
                keep(Dim::QueryHead(place), &mut layer.query_heads);
                keep(Dim::HeadDim(place), &mut layer.rotary_pairs);
            }
        }
        kept
    }

    /// The shape of `config` after `events` events of each type. Where layers differ (`per_layer`), the events are those of the
    /// first places that have groups left: exact where all groups of a type are of one size.
    pub fn after(&self, config: &ModelConfig, events: &[(GroupType, u64)]) -> ModelConfig {
        let mut config = config.clone();
        for &(kind, mut events) in events {
            if events == 0 {
                continue;
            }
            for place in 0..self.places(kind, &config) {
                let gone = match self.scope {
                    Scope::Uniform => events,
                    Scope::PerLayer => events.min(self.spare(kind, &config, place) as u64),
                };
                config = kind.smaller(self.cut, &config, place, gone as usize);
                if self.scope == Scope::PerLayer {
                    events -= gone;
                }
            }
        }
        config
    }
}

/// The widths of a model in words.
fn widths(config: &ModelConfig) -> String {
    let layer = |layer: &LayerShape| {
        format!(
            "{} heads, {} key-value heads, {} channels",
            layer.num_heads, layer.num_kv_heads, layer.intermediate_size
        )
    };
    let layers: Vec<String> = config.layers.iter().map(layer).collect();
    format!("hidden_size {}; {}", config.hidden_size, layers.join("; "))
}

fn nearest_divisors(block: usize, width: usize) -> Vec<usize> {
    let below = (1..=block.min(width)).rev().find(|n| width.is_multiple_of(*n));
    let above = (block.max(1)..=width).find(|n| width.is_multiple_of(*n));
    let mut nearest: Vec<usize> = below.into_iter().chain(above).collect();
    nearest.dedup();
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;
    use crate::prune::testing::{small_config, small_spec, taken_at};
    use crate::spec::HeadUnit;

    #[test]
    fn group_params_are_what_removal_takes() {
        for head_unit in [HeadUnit::KvGroup, HeadUnit::QueryPerGroup] {
            for (tied, biases) in
                [(true, Biases::NONE), (false, Biases::ATTENTION), (true, Biases::QKV), (true, Biases::MLP)]
            {
                let source = ModelConfig { biases, ..small_config(tied) };
                let spec = PruneSpec { head_unit, block: 2, types: GroupType::ALL.to_vec(), ..small_spec() };
                let groups = Groups::new(&spec, &source).unwrap();
                for kind in GroupType::ALL {
                    let places = groups.places(kind, &source);
                    let last = groups.count(kind, &source, 0) - 1;
                    let position = last.min(1);
                    let taken = taken_at(kind, &vec![position; places]);
                    let kept = groups.without(&source, &taken);
                    assert_eq!(kept.check(&source).is_ok(), last > 0, "{kind:?}");
                    let sizes = groups.group_params(kind, &source);
                    let gone: u64 = taken.iter().map(|id| sizes[id.place][id.position]).sum();
                    let left = kept.shape(&source).num_params();
                    assert_eq!(source.num_params() - left, gone, "{kind:?} {head_unit:?}");
                    assert_eq!(
                        groups.after(&source, &[(kind, 1)]).num_params(),
                        left,
                        "{kind:?} {head_unit:?}"
                    );
                    // Group 1 is gone: what follows group 0 is group 2, where there is one.
                    if last > 0 {
                        assert_eq!(groups.original(kind, &kept, 0, 0), 0);
                    }
                    if last > 1 {
                        assert_eq!(groups.original(kind, &kept, 0, 1), 2, "{kind:?} {head_unit:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn impossible_groups_are_refused_with_the_nearest_valid_value() {
        let source = small_config(true);
        let refuse = |spec: PruneSpec| Groups::new(&spec, &source).unwrap_err().to_string();
        assert_eq!(
            refuse(PruneSpec { block: 5, ..small_spec() }),
            "prune.block: 5 does not divide intermediate_size = 8; nearest valid block: 4, 8"
        );
        assert_eq!(
            refuse(PruneSpec { block: 8, ..small_spec() }),
            "prune.block: 8 does not divide hidden_size = 12; nearest valid block: 6, 12"
        );
        assert_eq!(
            refuse(PruneSpec { min_heads: 4, ..small_spec() }),
            "prune.min_heads: 4 is more than the 3 groups that the model has; nearest valid: 3"
        );
        let mut odd = source.clone();
        odd.layers[1].num_heads = 5;
        assert_eq!(
            Groups::new(&small_spec(), &odd).unwrap_err().to_string(),
            "layer 1: 5 query heads are not a positive multiple of 3 key-value heads; nearest valid num_heads: 6"
        );
        assert!(Groups::new(&PruneSpec { block: 0, ..small_spec() }, &source).is_err());
        // A block that no pruned type uses is not looked at.
        let heads_only = PruneSpec { block: 5, types: vec![GroupType::Head], ..small_spec() };
        assert!(Groups::new(&heads_only, &source).is_ok());
    }
}
