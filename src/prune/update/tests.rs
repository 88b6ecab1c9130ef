//! Every linear layer that loses columns, and no other; statistics that do not permit an update.
use super::*;
use crate::prune::groups::Groups;
use crate::prune::statistics::Grams;
use crate::prune::statistics::sites::width;
use crate::prune::survivors::head_rows;
use crate::prune::testing::{random_tree, small_config, small_spec, taken_at};
use crate::schema::ParamId;
use crate::tensor::{CpuBackend, Matrix};

/// Statistics of 40 tokens everywhere in a model of shape `config`.
fn collected(config: &ModelConfig) -> Statistics {
    let layer = |i| [Site::AttnIn(i), Site::OIn(i), Site::FfnIn(i), Site::DownIn(i)];
    let sites = (0..config.layers.len()).flat_map(layer).chain([Site::HeadIn]);
    let grams = sites.map(|site| (site, gram(width(config, site)))).collect();
    Statistics { grams: Some(Grams::new(grams, 40)), num_tokens: 40, ..Statistics::default() }
}

fn inputs(n: usize) -> DMatrix<f64> {
    let mut generator = crate::base::random::stream(n as u64, "x");
    DMatrix::from_fn(n, 40, |_, _| rand::RngExt::random::<f64>(&mut generator) - 0.5)
}

fn gram(n: usize) -> DMatrix<f64> {
    inputs(n) * inputs(n).transpose()
}

fn matrix(tensor: &Matrix<f64>) -> DMatrix<f64> {
    DMatrix::from_row_slice(tensor.rows, tensor.cols, &tensor.data)
}

#[test]
fn every_linear_that_loses_columns_becomes_its_least_squares_fit_and_no_other_changes() {
    let backend = CpuBackend::<f64>::new();
    let config = small_config(false);
    let statistics = collected(&config);
    let groups = Groups::new(&small_spec(), &config).unwrap();
    for kind in [GroupType::Ffn, GroupType::Head, GroupType::Stem] {
        let places = groups.places(kind, &config);
        let kept = groups.without(&config, &taken_at(kind, &[1, 2][..places]));
        let before = random_tree(&backend, &config, 3, (-1.0, 1.0));
        let mut after = before.clone();
        let context = UpdateContext {
            backend: &backend,
            config: &config,
            kind,
            kept: &kept,
            damping: 0.0,
            statistics: Some(&statistics),
        };
        assert_eq!(apply(Update::LAYERWISE, &context, &mut after), Ok(Some(0.0)));
        for ((id, old), (_, new)) in before.params().into_iter().zip(after.params()) {
            let (name, place) = (id.hf_name(), id.layer().unwrap_or(0));
            let columns = match (kind, id.projection()) {
                (GroupType::Ffn, Some(Projection::Down)) => Some(kept.layers[place].ffn.clone()),
                (GroupType::Head, Some(Projection::O)) => Some(head_rows(&kept.layers[place].query_heads, 2)),
                (GroupType::Stem, Some(projection)) if !projection.is_residual() => Some(kept.stem.clone()),
                (GroupType::Stem, None) if id == ParamId::Head => Some(kept.stem.clone()),
                _ => None,
            };
            match columns {
                None => assert_eq!(old, new, "{name} under {kind:?}"),
                Some(columns) => {
                    // Normal equations: the residual is orthogonal to every kept input.
                    let x = inputs(old.cols);
                    let residual = (matrix(old) - matrix(new)) * &x;
                    let product = residual * x.select_rows(&columns).transpose();
                    assert!(product.amax() < 1e-12, "{name} under {kind:?}: {}", product.amax());
                    assert_ne!(old, new);
                }
            }
        }
    }
}

#[test]
fn a_singular_gram_names_its_place() {
    let backend = CpuBackend::<f64>::new();
    let config = small_config(true);
    let ones = DMatrix::from_element(8, 8, 1.0);
    let grams = Grams::new(vec![(Site::DownIn(0), gram(8)), (Site::DownIn(1), ones)], 9);
    let statistics = Statistics { grams: Some(grams), ..Statistics::default() };
    let groups = Groups::new(&small_spec(), &config).unwrap();
    let kept = groups.without(&config, &taken_at(GroupType::Ffn, &[0, 0]));
    let context = UpdateContext {
        backend: &backend,
        config: &config,
        kind: GroupType::Ffn,
        kept: &kept,
        damping: 0.0,
        statistics: Some(&statistics),
    };
    let mut weights = random_tree(&backend, &config, 3, (-1.0, 1.0));
    let error = apply(Update::LAYERWISE, &context, &mut weights).unwrap_err().to_string();
    assert!(error.starts_with("second moments of the input of down in layer 1: "), "{error}");
    assert!(error.contains("is not positive definite; hint: collect more tokens"), "{error}");
    // With damping it goes on, and tells how much it took.
    let damped = UpdateContext { damping: 0.01, ..context };
    assert_eq!(apply(Update::LAYERWISE, &damped, &mut weights), Ok(Some(0.01)));
}
