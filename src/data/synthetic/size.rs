//! How much there is to learn: what grows with the number of entities, and what does not.
//!
//! ```text
//! kinds            entities / 8, each of eight entities
//! places           entities · 24 / 128        conditions of the yes/no questions, and where activities happen
//! activities       entities · 40 / 128
//! goals            entities · 36 / 128
//! facts            attributes of every entity, 16 values each
//! forms            ways to word a statement
//! ```
//! Verbs, tools, materials, people and the like stay as many as they are, so that the facts about each grow.
use crate::spec::SyntheticSize;

/// Entities of one kind.
pub(super) const ENTITIES_PER_KIND: usize = 8;

pub(super) fn num_kinds(size: SyntheticSize) -> usize {
    size.entities / ENTITIES_PER_KIND
}

pub(super) fn num_places(size: SyntheticSize) -> usize {
    scaled(size, 24)
}

pub(super) fn num_activities(size: SyntheticSize) -> usize {
    scaled(size, 40)
}

pub(super) fn num_goals(size: SyntheticSize) -> usize {
    scaled(size, 36)
}

/// `count` belongs to 128 entities; at least half of it, so that every slot keeps enough distractors.
fn scaled(size: SyntheticSize, count: usize) -> usize {
    (count * size.entities / 128).max(count / 2)
}
