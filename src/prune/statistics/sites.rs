//! Where linear layers read: which places the group types need, how wide these are, and what an event leaves of them.
//!
//! | type | places | linear layers that read them |
//! |---|---|---|
//! | `ffn` | input of down | down |
//! | `head` | input of o | o |
//! | `stem` | inputs of attention, of the feed-forward block, of the head | q, k, v; gate, up; head |
use crate::model::ModelConfig;
use crate::model::taps::Site;
use crate::prune::groups::Groups;
use crate::prune::survivors::Survivors;
use crate::schema::{Axis, Dim, Projection};
use crate::spec::GroupType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The places that the allowed types need, in the order of a forward pass.
pub fn sites(groups: &Groups, config: &ModelConfig) -> Vec<Site> {
    let of = |kind: GroupType, site: Site| groups.allows(kind).then_some(site);
    let layer = |i: usize| {
        [
            of(GroupType::Stem, Site::AttnIn(i)),
            of(GroupType::Head, Site::OIn(i)),
            of(GroupType::Stem, Site::FfnIn(i)),
            of(GroupType::Ffn, Site::DownIn(i)),
        ]
    };
    let layers = (0..config.layers.len()).flat_map(layer);
    layers.chain([of(GroupType::Stem, Site::HeadIn)]).flatten().collect()
}

/// What the channels of a place run along.
fn axis(site: Site) -> Axis {
    match site {
        Site::AttnIn(_) | Site::FfnIn(_) | Site::HeadIn => Dim::Hidden.into(),
        Site::OIn(layer) => Projection::O.inputs(layer),
        Site::DownIn(layer) => Projection::Down.inputs(layer),
    }
}

/// The place in the model that an event leaves; `None` where its layer goes.
pub fn moved(kept: &Survivors, site: Site) -> Option<Site> {
    let of = |layer: usize| kept.layers.binary_search_by_key(&layer, |kept| kept.layer).ok();
    Some(match site {
        Site::AttnIn(layer) => Site::AttnIn(of(layer)?),
        Site::OIn(layer) => Site::OIn(of(layer)?),
        Site::FfnIn(layer) => Site::FfnIn(of(layer)?),
        Site::DownIn(layer) => Site::DownIn(of(layer)?),
        Site::HeadIn => Site::HeadIn,
    })
}

/// Channels of a place in a model of shape `config`.
pub fn width(config: &ModelConfig, site: Site) -> usize {
    config.length(axis(site))
}

/// Channels of a place that an event keeps.
pub fn kept_channels(config: &ModelConfig, kept: &Survivors, site: Site) -> Vec<usize> {
    kept.along(config, axis(site)).unwrap_or_else(|| (0..width(config, site)).collect())
}

/// A value for each channel of some places; for each query head at the input of o where `by_head`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channels {
    pub by_head: bool,
    values: Vec<(Site, Vec<f64>)>,
}

impl Channels {
    pub fn new(by_head: bool, values: Vec<(Site, Vec<f64>)>) -> Self {
        Channels { by_head, values }
    }

    pub fn of(&self, site: Site) -> Option<&[f64]> {
        self.values.iter().find(|(at, _)| *at == site).map(|(_, values)| values.as_slice())
    }

    pub fn iter(&self) -> impl Iterator<Item = (Site, &[f64])> {
        self.values.iter().map(|(site, values)| (*site, values.as_slice()))
    }

    /// `f` of every value.
    pub fn map(mut self, f: impl Fn(f64) -> f64) -> Self {
        self.values.iter_mut().flat_map(|(_, values)| values).for_each(|value| *value = f(*value));
        self
    }

    /// `f` of every value and of that of `other` in its place.
    pub fn zip(&self, other: &Channels, f: impl Fn(f64, f64) -> f64) -> Self {
        let theirs: BTreeMap<Site, &[f64]> = other.iter().collect();
        let both = |(site, values): &(Site, Vec<f64>)| {
            let other = theirs.get(site).copied().unwrap_or_default();
            (*site, values.iter().zip(other).map(|(a, b)| f(*a, *b)).collect())
        };
        Channels { by_head: self.by_head, values: self.values.iter().map(both).collect() }
    }

    pub fn blend(&mut self, decay: f64, new: &Channels) {
        *self = self.zip(new, |old, new| decay * old + (1.0 - decay) * new);
    }

    pub fn keep(&mut self, config: &ModelConfig, kept: &Survivors) {
        let by_head = self.by_head;
        self.values.retain_mut(|(site, values)| {
            let Some(now) = moved(kept, *site) else { return false };
            let left = match *site {
                Site::OIn(layer) if by_head => kept.along_dim(config, Dim::QueryHead(layer)),
                site => kept.along(config, axis(site)),
            };
            if let Some(indices) = left {
                *values = indices.iter().map(|&i| values[i]).collect();
            }
            *site = now;
            true
        });
    }
}
