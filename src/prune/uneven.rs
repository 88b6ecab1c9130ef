//! The end nearest to the target where groups of one type differ in size: layers that lose groups one by one (`per_layer`) have heads of
//! different numbers of RoPE pairs, and are of different size themselves.
//!
//! ```text
//! P = rest(s) + Σ_ℓ size_ℓ       size_ℓ: 0 where layer ℓ goes, else that of the layer without f channels, k heads and p RoPE pairs
//! fewest(r, g)                   events with which the layers lose r parameters together, g of them whole; filled layer by layer
//! ```
//!
//! The hidden width decides all sizes, so the search goes through the numbers s of hidden channels that go, and fills a table for each. r counts
//! in units of the greatest common divisor of all losses, which is the hidden width where there are no biases.
use super::groups::Groups;
use super::target::Goal;
use crate::model::ModelConfig;
use crate::schema::groups::{GroupType, sizes_come_apart};
use crate::spec::Scope;
use serde::{Deserialize, Serialize};

/// Steps of the searches of one event, at most: about a second.
pub const MOST_STEPS: u64 = 500_000_000;
const UNREACHED: u32 = u32::MAX;

/// Where pruning ends: parameters that count, and the fewest events that lead there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub params: u64,
    pub events: u64,
}

/// The search would take more steps than are left to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Whether groups of one type are, or may come to be, of different sizes in different layers.
pub fn sizes_differ(groups: &Groups, config: &ModelConfig) -> bool {
    let differ_now = |kind: &GroupType| {
        let sizes = groups.group_params(*kind, config);
        let mut open = groups.open_places(*kind, config).into_iter().flat_map(|place| &sizes[place]);
        let first = open.next();
        open.any(|size| Some(size) != first)
    };
    groups.scope() == Scope::PerLayer
        && (sizes_come_apart(groups.types()) || groups.types().iter().any(differ_now))
}

/// The end with the largest count that does not exceed the goal's limit and is not below `at_least`, and of these the one of the fewest
/// events; `None` where there is none. What it takes goes off `steps`, so that the searches of one event have one bound.
///
/// # Errors
/// [`TooLarge`].
pub fn best_end(
    groups: &Groups,
    config: &ModelConfig,
    goal: Goal,
    at_least: u64,
    steps: &mut u64,
) -> Result<Option<End>, TooLarge> {
    let mut best: Option<End> = None;
    for gone in 0..=groups.events_left(GroupType::Stem, config) {
        let narrow = GroupType::Stem.smaller(groups.cut(), config, 0, gone);
        let count = goal.count(&narrow);
        let least = count.saturating_sub(goal.limit);
        // Narrower models are smaller still.
        let Some(most) = count.checked_sub(best.map_or(at_least, |best| best.params)) else { break };
        if let Some((lost, events)) = fewest(groups, &narrow, least, most, steps)? {
            let end = End { params: count - lost, events: events + gone as u64 };
            let better = |best: End| end.params > best.params || end.events < best.events;
            if best.is_none_or(better) {
                best = Some(end);
            }
        }
        if least == 0 {
            break;
        }
    }
    Ok(best)
}

/// What one layer can lose.
struct Losses {
    /// All of it; `None` where no layer may go.
    whole: Option<u64>,
    /// Heads and RoPE pairs: loss and events of each combination, the empty one among them.
    attention: Vec<(u64, u32)>,
    /// Loss of a group of channels, and how many may go.
    channels: (u64, u64),
}

impl Losses {
    fn of(groups: &Groups, config: &ModelConfig, place: usize, most: u64) -> Losses {
        let alone = ModelConfig { layers: vec![config.layers[place].clone()], ..config.clone() };
        let size = |config: &ModelConfig| config.count(|id| id.layer() == Some(0));
        let (whole, cut) = (size(&alone), groups.cut());
        let spare = |kind| if groups.allows(kind) { groups.spare(kind, config, place) } else { 0 };
        let loss = |smaller: &ModelConfig| whole - size(smaller);
        let mut attention = Vec::new();
        for heads in 0..=spare(GroupType::Head) {
            let fewer = GroupType::Head.smaller(cut, &alone, 0, heads);
            for pairs in 0..=spare(GroupType::HeadDim) {
                let loss = loss(&GroupType::HeadDim.smaller(cut, &fewer, 0, pairs));
                if loss > most {
                    break;
                }
                attention.push((loss, (heads + pairs) as u32));
            }
        }
        let channels = match spare(GroupType::Ffn) {
            0 => (0, 0),
            spare => (loss(&GroupType::Ffn.smaller(cut, &alone, 0, 1)), spare as u64),
        };
        let may_go = groups.events_left(GroupType::Layer, config) > 0;
        Losses { whole: may_go.then_some(whole), attention, channels }
    }

    fn sizes(&self) -> impl Iterator<Item = u64> {
        let attention = self.attention.iter().map(|(loss, _)| *loss);
        attention.chain([self.channels.0]).chain(self.whole).filter(|size| *size > 0)
    }
}

/// The smallest loss of the layers from `least` to `most`, and the fewest events that it takes.
fn fewest(
    groups: &Groups,
    config: &ModelConfig,
    least: u64,
    most: u64,
    left: &mut u64,
) -> Result<Option<(u64, u64)>, TooLarge> {
    if least == 0 {
        return Ok(Some((0, 0)));
    }
    let layers: Vec<Losses> =
        (0..config.layers.len()).map(|place| Losses::of(groups, config, place, most)).collect();
    let unit = layers.iter().flat_map(Losses::sizes).fold(0, gcd).max(1);
    let smallest = layers.iter().filter_map(|layer| layer.whole).min().unwrap_or(u64::MAX).max(1);
    let gone = (groups.events_left(GroupType::Layer, config) as u64).min(most / smallest);
    let cells = most / unit + 1;
    let steps = layers.iter().map(|layer| layer.attention.len() as u64 + 64).sum::<u64>();
    *left = left.checked_sub(cells.saturating_mul((gone + 1) * steps)).ok_or(TooLarge)?;
    let (cells, gone) = (cells as usize, gone as usize);
    let mut table = vec![vec![UNREACHED; cells]; gone + 1];
    table[0][0] = 0;
    for Losses { whole, attention, channels: (size, number) } in &layers {
        let mut next = vec![vec![UNREACHED; cells]; gone + 1];
        for (before, after) in table.iter().zip(&mut next) {
            for &(loss, events) in attention {
                lower(&mut after[(loss / unit) as usize..], before, events);
            }
            // Up to `number` groups, in steps of 1, 2, 4, … of them.
            let (mut left, mut step) = (*number, 1);
            while left > 0 {
                let taken = left.min(step);
                let loss = (taken * size / unit) as usize;
                for cell in (loss..cells).rev() {
                    let reached = after[cell - loss].saturating_add(taken as u32);
                    after[cell] = after[cell].min(reached);
                }
                (left, step) = (left - taken, 2 * step);
            }
        }
        if let Some(loss) = whole.map(|whole| (whole / unit) as usize).filter(|loss| *loss < cells) {
            for (before, after) in table.iter().zip(&mut next[1..]) {
                lower(&mut after[loss..], before, 1);
            }
        }
        table = next;
    }
    let events = |cell: usize| table.iter().map(|row| row[cell]).min().unwrap_or(UNREACHED);
    let mut reached = (least.div_ceil(unit) as usize..cells).map(|cell| (cell, events(cell)));
    let found = reached.find(|(_, events)| *events != UNREACHED);
    Ok(found.map(|(cell, events)| (cell as u64 * unit, u64::from(events))))
}

/// Each of `after` is at most what stands in its place in `before`, and `events` more.
fn lower(after: &mut [u32], before: &[u32], events: u32) {
    for (after, before) in after.iter_mut().zip(before) {
        *after = (*after).min(before.saturating_add(events));
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;
    use crate::prune::testing::{config_of, small_spec};
    use crate::spec::PruneSpec;

    /// Two layers, one without one of its four RoPE pairs: with d = 8, h = 8, f = 5 a head costs 8·(4·8) = 256 in the first and
    /// 8·(2·6 + 2·8) = 224 in the second, a pair of a layer with two heads 2·2·2·8 = 64, a channel 24.
    #[test]
    fn ends_are_reached_by_the_groups_of_the_right_layer() {
        let mut config = config_of([10, 8, 2, 1, 2, 8, 5], true);
        config.layers[1].rotary_pairs = Some(vec![0, 1, 3]);
        let types = vec![GroupType::Ffn, GroupType::Head, GroupType::HeadDim, GroupType::Layer];
        let spec = PruneSpec { types, scope: Scope::PerLayer, ..small_spec() };
        let groups = Groups::new(&spec, &config).unwrap();
        assert!(sizes_differ(&groups, &config));
        let whole = config.num_params();
        let end = |lost: u64| {
            let goal = Goal { limit: whole - lost, counts_embedding: true };
            let mut steps = MOST_STEPS;
            let end = best_end(&groups, &config, goal, 0, &mut steps).unwrap().unwrap();
            (whole - end.params, end.events)
        };
        assert_eq!(end(0), (0, 0));
        assert_eq!(end(224), (224, 1));
        // Nothing of fewer events has 232: a pair and seven of the eight channels.
        assert_eq!(end(225), (232, 8));
        assert_eq!(end(256), (256, 1));
        // Beside its head a pair of the second layer costs 32.
        assert_eq!(end(224 + 32), (256, 1));
        // Less than a layer: the second goes whole, rather than 584 in many pieces.
        assert_eq!(end(584), (584, 1));
        assert_eq!(end(24 + 64), (88, 2));
    }

    #[test]
    fn groups_of_one_size_are_not_searched() {
        let config = config_of([10, 8, 2, 1, 2, 8, 5], true);
        let with = |types: &[GroupType], scope| {
            let spec = PruneSpec { types: types.to_vec(), scope, ..small_spec() };
            sizes_differ(&Groups::new(&spec, &config).unwrap(), &config)
        };
        let [ffn, head, stem] = [GroupType::Ffn, GroupType::Head, GroupType::Stem];
        assert!(
            !with(&[ffn, head, stem], Scope::PerLayer) && !with(&[GroupType::Layer, stem], Scope::PerLayer)
        );
        assert!(!with(&GroupType::ALL, Scope::Uniform) && with(&GroupType::ALL, Scope::PerLayer));
    }

    /// Where a table would be too large, it is said and not made.
    #[test]
    fn too_large_a_search_is_refused() {
        let biases = Biases::ATTENTION.union(Biases::MLP);
        let config = ModelConfig { biases, ..config_of([1000, 4096, 4, 1, 4, 16, 20_000], true) };
        let spec = PruneSpec { types: GroupType::ALL.to_vec(), scope: Scope::PerLayer, ..small_spec() };
        let groups = Groups::new(&spec, &config).unwrap();
        let goal = Goal { limit: config.num_params() / 2, counts_embedding: true };
        let mut steps = MOST_STEPS;
        assert_eq!(best_end(&groups, &config, goal, 0, &mut steps), Err(TooLarge));
    }

    /// What one search takes is not there for the next.
    #[test]
    fn searches_share_a_bound() {
        let config = config_of([10, 8, 2, 1, 2, 8, 5], true);
        let spec = PruneSpec { types: GroupType::ALL.to_vec(), scope: Scope::PerLayer, ..small_spec() };
        let groups = Groups::new(&spec, &config).unwrap();
        let goal = Goal { limit: config.num_params() / 2, counts_embedding: true };
        let mut steps = MOST_STEPS;
        let found = best_end(&groups, &config, goal, 0, &mut steps);
        assert!(found.is_ok_and(|found| found.is_some()) && steps < MOST_STEPS);
        let mut few = MOST_STEPS - steps;
        assert_eq!(best_end(&groups, &config, goal, 0, &mut few), found);
        assert_eq!(few, 0);
        assert_eq!(best_end(&groups, &config, goal, 0, &mut few), Err(TooLarge));
    }
}
