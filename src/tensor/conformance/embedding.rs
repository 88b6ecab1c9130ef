//! Rows and columns that are looked up, chosen, spread and gathered.
use super::Case;
use crate::tensor::Backend;

fn embedding_backward<B: Backend>(case: &Case<B>, d: usize, tokens: &[u32]) {
    let vocab = tokens.iter().max().map_or(1, |&most| most as usize + 1);
    let (d0, mut d_table) = case.random(vocab, d, "d_table");
    let (d_out, d_out_tensor) = case.activation(tokens.len(), d, "d_out");
    case.backend.embed_backward(&mut d_table, &d_out_tensor, tokens);
    let mut expected = d0.data;
    for (n, &token) in tokens.iter().enumerate() {
        for c in 0..d {
            expected[token as usize * d + c] += d_out.at(n, c);
        }
    }
    case.compare(&format!("embed backward of {tokens:?}"), &d_table, &expected);
}

pub(super) fn embedding<B: Backend>(case: &Case<B>) {
    let (table, tensor) = case.random(6, 5, "table");
    let tokens = [3u32, 0, 3, 5];
    let mut out = case.backend.activation(4, 5);
    case.backend.embed(&mut out, &tensor, &tokens);
    let rows: Vec<f64> = tokens
        .iter()
        .flat_map(|&t| (0..5).map(move |c| (t, c)))
        .map(|(t, c)| table.at(t as usize, c))
        .collect();
    case.compare("embed", &out, &rows);
    embedding_backward(case, 5, &tokens);
    embedding_backward(case, 5, &[]);
    // One token everywhere, as often as fits a whole number of pieces and not; all different; few tokens, unevenly often.
    for n in [1, 64, 150] {
        embedding_backward(case, 13, &vec![2; n]);
        embedding_backward(case, 13, &(0..n as u32).rev().collect::<Vec<_>>());
        embedding_backward(case, 300, &(0..n as u32).map(|i| i * i % 7 * (i % 3) % 5).collect::<Vec<_>>());
    }
    let selected = case.backend.select(&tensor, Some(&[1, 4]), Some(&[0, 2, 3]));
    let expected: Vec<f64> = [1, 4].iter().flat_map(|&r| [0, 2, 3].map(|c| table.at(r, c))).collect();
    case.compare("select", &selected, &expected);
    let (backend, mut kept) = (case.backend, case.random(6, 5, "table").1);
    backend.retain(&mut kept, Some(&[1, 4]), Some(&[0, 2, 3]));
    assert_eq!(backend.shape(&kept), [2, 3]);
    case.compare("retain", &kept, &expected);
    let mut kept = case.random(6, 5, "table").1;
    backend.retain(&mut kept, None, Some(&[1, 2, 4]));
    let expected: Vec<f64> = (0..6).flat_map(|r| [1, 2, 4].map(|c| table.at(r, c))).collect();
    case.compare("retain columns", &kept, &expected);
    columns(case);
}

/// Columns that move between whole heads and what is left of them, and a row that joins every row.
fn columns<B: Backend>(case: &Case<B>) {
    let backend = case.backend;
    let (narrow, narrow_tensor) = case.activation(3, 4, "narrow");
    let places = [1, 3, 6, 7];
    let mut out = backend.activation(3, 9);
    backend.spread_columns(&mut out, &narrow_tensor, &places);
    let at =
        |r: usize, c: usize| places.iter().position(|&place| place == c).map_or(0.0, |j| narrow.at(r, j));
    let expected: Vec<f64> = (0..27).map(|i| at(i / 9, i % 9)).collect();
    case.compare("spread_columns", &out, &expected);
    let (wide, wide_tensor) = case.activation(3, 9, "wide");
    let mut out = backend.activation(3, 4);
    backend.gather_columns(&mut out, &wide_tensor, &places);
    let expected: Vec<f64> = (0..12).map(|i| wide.at(i / 4, places[i % 4])).collect();
    case.compare("gather_columns", &out, &expected);
    let (row, row_tensor) = case.random(1, 9, "row");
    let (before, mut stream) = case.activation(3, 9, "stream");
    backend.add_row(&mut stream, &row_tensor);
    let expected: Vec<f64> = (0..27).map(|i| before.data[i] + row.data[i % 9]).collect();
    case.compare("add_row", &stream, &expected);
}
