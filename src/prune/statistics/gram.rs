//! Second moments of the inputs of the linear layers, G = Σ x xᵀ over tokens: the layerwise Hessian (method §3); centred,
//! Σ (x − x̄)(x − x̄)ᵀ = G − N x̄ x̄ᵀ, where an output has a free bias.
//!
//! An event deletes the rows and columns of the inputs that it removes. What remains is G of the network *before* that
//! event: removing stem channels changes every later activation, and so does an updated weight; removed FFN
//! channels and heads leave the layer's own other inputs as they are but change those of later layers. The
//! record of an event says how many steps and events old its G was; collect anew as often as that matters.
use super::TokenStatistic;
use super::sites::{kept_channels, moved, width};
use crate::model::ModelConfig;
use crate::model::taps::{Observation, Site};
use crate::prune::error::PruneError;
use crate::prune::survivors::Survivors;
use crate::rules::obs::{FactoredGram, eliminated_flops, eliminated_from_inverse, inverse_flops};
use crate::tensor::{Backend, Product, Scalar};
use nalgebra::DMatrix;

/// G of one place, and its damped inverse where a rule scores by it.
#[derive(Clone, Debug, PartialEq)]
struct SiteGram {
    site: Site,
    gram: DMatrix<f64>,
    inverse: Option<DMatrix<f64>>,
}

/// G of the places that the group types need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grams {
    sites: Vec<SiteGram>,
    /// Tokens summed over.
    pub num_tokens: u64,
    /// The most damping that an inverse needed.
    pub damping: Option<f64>,
    /// FLOPs of inverses, and of what events did to them, since [`Grams::take_flops`].
    flops: u64,
}

impl Grams {
    pub fn new(sites: Vec<(Site, DMatrix<f64>)>, num_tokens: u64) -> Self {
        let sites = sites.into_iter().map(|(site, gram)| SiteGram { site, gram, inverse: None }).collect();
        Grams { sites, num_tokens, damping: None, flops: 0 }
    }

    pub fn of(&self, site: Site) -> Option<&DMatrix<f64>> {
        self.sites.iter().find(|at| at.site == site).map(|at| &at.gram)
    }

    /// The damped inverse; there after [`Grams::invert`].
    pub fn inverse(&self, site: Site) -> Option<&DMatrix<f64>> {
        self.sites.iter().find(|at| at.site == site).and_then(|at| at.inverse.as_ref())
    }

    /// # Errors
    /// [`PruneError::GramShape`] where a matrix does not have the width that `config` gives its place.
    pub fn check(&self, config: &ModelConfig) -> Result<(), PruneError> {
        let wrong = |at: &&SiteGram| at.gram.shape() != (width(config, at.site), width(config, at.site));
        match self.sites.iter().find(wrong) {
            None => Ok(()),
            Some(SiteGram { site, gram, .. }) => Err(PruneError::GramShape {
                site: *site,
                rows: gram.nrows(),
                cols: gram.ncols(),
                width: width(config, *site),
            }),
        }
    }

    /// Makes the inverses that are not there yet, damped by λ or by as much more as positive definiteness needs.
    ///
    /// # Errors
    /// [`PruneError::TooFewTokens`] and [`PruneError::NotPositiveDefinite`].
    pub fn invert(&mut self, damping: f64) -> Result<(), PruneError> {
        use rayon::prelude::*;
        let tokens = self.num_tokens;
        let missing: Vec<&mut SiteGram> = self.sites.iter_mut().filter(|at| at.inverse.is_none()).collect();
        let flops: u64 = missing.iter().map(|at| inverse_flops(at.gram.nrows() as u64)).sum();
        let used: Result<Vec<f64>, PruneError> = missing
            .into_par_iter()
            .map(|at| {
                let factored = factor(&at.gram, damping, at.site, tokens)?;
                at.inverse = Some(factored.inverse());
                Ok(factored.damping())
            })
            .collect();
        self.damping = used?.into_iter().chain(self.damping).max_by(f64::total_cmp);
        self.flops += flops;
        Ok(())
    }

    /// FLOPs of inverses, and of what events did to them, since the last call.
    pub fn take_flops(&mut self) -> u64 {
        std::mem::take(&mut self.flops)
    }

    /// Deletes the rows and columns of inputs that `kept` (positions in the model of shape `config`) does not list.
    pub fn keep(&mut self, config: &ModelConfig, kept: &Survivors) {
        let flops = &mut self.flops;
        self.sites.retain_mut(|SiteGram { site, gram, inverse }| {
            let Some(now) = moved(kept, *site) else { return false };
            let indices = kept_channels(config, kept, *site);
            if indices.len() < gram.nrows() {
                if inverse.is_some() {
                    *flops +=
                        eliminated_flops([indices.len(), gram.nrows() - indices.len()].map(|n| n as u64));
                }
                *gram = gram.select_rows(&indices).select_columns(&indices);
                // Without what is gone the inverse is that of a smaller matrix, not a part of this one.
                *inverse = inverse.take().and_then(|inverse| eliminated_from_inverse(&inverse, &indices));
            }
            *site = now;
            true
        });
    }
}

/// `gram` damped and factored.
///
/// # Errors
/// [`PruneError::TooFewTokens`] where nothing is damped and G cannot have full rank; [`PruneError::NotPositiveDefinite`].
pub fn factor(
    gram: &DMatrix<f64>,
    damping: f64,
    site: Site,
    tokens: u64,
) -> Result<FactoredGram, PruneError> {
    let columns = gram.nrows();
    if damping == 0.0 && tokens < columns as u64 {
        return Err(PruneError::TooFewTokens { site, tokens, columns });
    }
    FactoredGram::damped(gram, damping).map_err(|_| PruneError::NotPositiveDefinite { site, damping })
}

/// Sums G on the device as forward passes go by.
pub struct GramSums<B: Backend> {
    sites: Vec<(Site, B::Tensor)>,
}

impl<B: Backend> GramSums<B> {
    /// Nothing summed yet, for a model of shape `config`.
    pub fn new(backend: &B, config: &ModelConfig, sites: &[Site]) -> Self {
        let square = |site| backend.zeros(width(config, site), width(config, site));
        GramSums { sites: sites.iter().map(|&site| (site, square(site))).collect() }
    }

    /// The sums on the host, over `num_tokens` tokens.
    pub fn finish(self, backend: &B, num_tokens: u64) -> Grams {
        let host = |tensor: &B::Tensor| {
            let [rows, cols] = backend.shape(tensor);
            DMatrix::from_row_iterator(rows, cols, backend.to_host(tensor).into_iter().map(Scalar::to_f64))
        };
        Grams::new(self.sites.iter().map(|(site, sum)| (*site, host(sum))).collect(), num_tokens)
    }
}

impl<B: Backend> TokenStatistic<B> for GramSums<B> {
    fn observe(&mut self, backend: &B, seen: &Observation<'_, B::Tensor>) {
        let Observation::Input { site, x, .. } = seen else { return };
        if let Some((_, sum)) = self.sites.iter_mut().find(|(at, _)| at == site) {
            backend.matmul(Product::TN, sum, true, x, x);
        }
    }

    fn sums(&mut self) -> Vec<&mut B::Tensor> {
        self.sites.iter_mut().map(|(_, sum)| sum).collect()
    }

    fn flops(&self, config: &ModelConfig, tokens: u64) -> u64 {
        let square = |(site, _): &(Site, B::Tensor)| (width(config, *site) as u64).pow(2);
        2 * tokens * self.sites.iter().map(square).sum::<u64>()
    }
}

/// Σ (x − x̄)(x − x̄)ᵀ of N tokens, from G and x̄.
pub fn centred(gram: &DMatrix<f64>, mean: &[f64], num_tokens: u64) -> DMatrix<f64> {
    let n = num_tokens as f64;
    DMatrix::from_fn(gram.nrows(), gram.ncols(), |i, j| gram[(i, j)] - n * mean[i] * mean[j])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::testing::small_config;
    use crate::tensor::{CpuBackend, Matrix};

    #[test]
    fn accumulates_over_calls_and_slices_along() {
        let backend = CpuBackend::<f64>::new();
        let config = small_config(true);
        let input = |n: usize, at: usize| Matrix {
            rows: 1,
            cols: n,
            data: (0..n).map(|j| (j + at) as f64).collect(),
        };
        let places = [Site::OIn(0), Site::DownIn(0), Site::DownIn(1)];
        let mut sums = GramSums::new(&backend, &config, &places);
        for at in 0..3 {
            for site in places.into_iter().chain([Site::AttnIn(0)]) {
                let x = input(width(&config, site), at);
                sums.observe(&backend, &Observation::Input { site, x: &x, sequences: 1 });
            }
        }
        let mut grams = sums.finish(&backend, 3);
        assert_eq!((grams.num_tokens, grams.check(&config)), (3, Ok(())));
        assert_eq!(grams.of(Site::AttnIn(0)), None);
        // Σ_at (2 + at)(5 + at), at = 0, 1, 2.
        let down = grams.of(Site::DownIn(1)).unwrap().clone();
        assert_eq!(down[(2, 5)], (2 * 5 + 3 * 6 + 4 * 7) as f64);
        // Means are 3 and 6: what is left of the product of deviations −1, 0, 1.
        let mean: Vec<f64> = (0..8).map(|j| (j + 1) as f64).collect();
        assert_eq!(centred(&down, &mean, 3)[(2, 5)], 2.0);

        let mut kept = Survivors::all(&config);
        kept.layers[0].ffn.remove(0);
        kept.layers[0].kv_heads.remove(2);
        kept.layers[0].query_heads.truncate(4);
        let before = grams.clone();
        grams.keep(&config, &kept);
        assert_eq!(grams.check(&kept.shape(&config)), Ok(()));
        let of = |grams: &Grams, site| grams.of(site).unwrap().clone();
        assert_eq!(of(&grams, Site::DownIn(0))[(1, 4)], of(&before, Site::DownIn(0))[(2, 5)]);
        assert_eq!(of(&grams, Site::DownIn(1)), of(&before, Site::DownIn(1)));
        assert_eq!(
            grams.check(&config).unwrap_err().to_string(),
            "second moments of the input of o in layer 0: 8 × 8, and the model's width is 12"
        );
    }

    /// The inverse that goes along with events is that of what is left, and too little text is told.
    #[test]
    fn inverses_follow_events_and_few_tokens_are_refused_or_damped() {
        let config = small_config(true);
        let site = Site::DownIn(0);
        let x = DMatrix::from_fn(8, 20, |i, n| ((i * 7 + n * n * 3 + i * n) % 11) as f64 - 5.0);
        let mut grams = Grams::new(vec![(site, &x * x.transpose())], 20);
        grams.invert(0.0).unwrap();
        let mut kept = Survivors::all(&config);
        kept.layers[0].ffn = vec![0, 2, 3, 6];
        grams.keep(&config, &kept);
        let left = grams.of(site).unwrap().clone();
        let product = grams.inverse(site).unwrap() * left;
        assert!((product - DMatrix::identity(4, 4)).amax() < 1e-10);

        let few = x.columns(0, 3).into_owned();
        let mut grams = Grams::new(vec![(site, &few * few.transpose())], 3);
        assert_eq!(
            grams.invert(0.0).unwrap_err().to_string(),
            "second moments of the input of down in layer 0 are of 3 tokens, fewer than its 8 columns, and \
             prune.damping = 0 does not make up for it; hint: nearest valid calibration or batch: 8 tokens, or \
             prune.damping = 0.01"
        );
        grams.invert(0.01).unwrap();
        assert_eq!(grams.damping, Some(0.01));
    }
}
