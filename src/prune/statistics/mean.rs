//! Means of the inputs of linear layers: x̄ = Σ_n x_n / N, summed on the device.
use super::TokenStatistic;
use super::sites::{Channels, width};
use crate::model::ModelConfig;
use crate::model::taps::{Observation, Site};
use crate::tensor::{Backend, Scalar};

/// Σ_n x_n, 1 × n for each place.
pub struct InputSums<B: Backend>(Vec<(Site, B::Tensor)>);

impl<B: Backend> InputSums<B> {
    pub fn new(backend: &B, config: &ModelConfig, sites: &[Site]) -> Self {
        InputSums(rows(backend, config, sites))
    }

    pub fn finish(self, backend: &B) -> Channels {
        on_host(backend, self.0)
    }
}

impl<B: Backend> TokenStatistic<B> for InputSums<B> {
    fn observe(&mut self, backend: &B, seen: &Observation<'_, B::Tensor>) {
        let Observation::Input { site, x, .. } = seen else { return };
        if let Some((_, sum)) = self.0.iter_mut().find(|(at, _)| at == site) {
            backend.add_column_sums(sum, x);
        }
    }

    fn sums(&mut self) -> Vec<&mut B::Tensor> {
        self.0.iter_mut().map(|(_, sum)| sum).collect()
    }

    fn flops(&self, config: &ModelConfig, tokens: u64) -> u64 {
        self.0.iter().map(|(site, _)| width(config, *site) as u64 * tokens).sum()
    }
}

/// Zeros, 1 × width for each place.
pub(super) fn rows<B: Backend>(backend: &B, config: &ModelConfig, sites: &[Site]) -> Vec<(Site, B::Tensor)> {
    sites.iter().map(|&site| (site, backend.zeros(1, width(config, site)))).collect()
}

pub(super) fn on_host<B: Backend>(backend: &B, sums: Vec<(Site, B::Tensor)>) -> Channels {
    let host = |(site, sum)| (site, backend.to_host(&sum).into_iter().map(Scalar::to_f64).collect());
    Channels::new(false, sums.into_iter().map(host).collect())
}
