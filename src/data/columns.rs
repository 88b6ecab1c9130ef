//! One text column of a Parquet file, row by row; other columns are not decoded.
use super::corpus::{BadRow, Visit};
use super::error::DataError;
use super::guard::guarded;
use super::parquet_file::ParquetFile;
use super::tables::{damaged, open};
use crate::base::suggest::nearest;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::{Type, TypePtr};
use std::path::Path;

/// Shows `visit` the text in `column` of each row, in order.
///
/// # Errors
/// The file cannot be read or is damaged; the column is missing or holds no text; `visit` fails, or `bad` a row in which
/// it is null.
pub(super) fn visit_column(
    path: &Path,
    column: &str,
    bad: &mut BadRow<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), DataError> {
    let fault = |row: usize, reason: ParquetError| damaged(path, "Parquet", row, reason);
    let panicked = |row: usize| move |reason: String| damaged(path, "Parquet", row, reason);
    let open = || SerializedFileReader::new(ParquetFile(open(path)?)).map_err(|e| fault(0, e));
    let reader = guarded(open).map_err(panicked(0))??;
    let projection = project(reader.metadata().file_metadata().schema(), path, column)?;
    let rows = guarded(|| reader.get_row_iter(Some(projection))).map_err(panicked(0))?;
    let mut rows = rows.map_err(|e| fault(0, e))?;
    let num_rows = reader.metadata().file_metadata().num_rows().max(1) as u64;
    let num_bytes = std::fs::metadata(path).map_or(0, |data| data.len());
    for index in 0.. {
        // Only the library's part is guarded: a panic of `visit` is a defect of ours.
        let Some(row) = guarded(|| rows.next()).map_err(panicked(index))? else { break };
        match row.map_err(|e| fault(index, e))?.get_column_iter().next() {
            // The reader does not tell where it stands: rows stand for bytes.
            Some((_, Field::Str(text))) => {
                let share = (index as u64 + 1) as f64 / num_rows as f64;
                visit(text, (num_bytes as f64 * share) as u64)?;
            }
            _ => {
                let (path, column) = (path.to_path_buf(), column.to_string());
                bad(DataError::NullCell { path, row: index + 1, column })?;
            }
        }
    }
    Ok(())
}

/// The file's schema with `column` alone.
fn project(schema: &Type, path: &Path, column: &str) -> Result<Type, DataError> {
    let texts: Vec<&str> = schema.get_fields().iter().filter(|f| is_text(f)).map(|f| f.name()).collect();
    let valid = match texts.as_slice() {
        [] => "no text columns".to_string(),
        texts => {
            let names: Vec<String> = texts.iter().map(|name| format!("`{name}`")).collect();
            format!("text columns: {}", names.join(", "))
        }
    };
    let named = schema.get_fields().iter().find(|field| field.name() == column);
    let Some(field) = named.filter(|field| is_text(field)) else {
        let (path, column) = (path.to_path_buf(), column.to_string());
        let nearest = nearest(&column, texts).map(str::to_string);
        return Err(match named {
            None => DataError::MissingColumn { path, column, valid, nearest },
            Some(field) => DataError::ColumnType { path, column, found: describe(field), valid, nearest },
        });
    };
    let projection = Type::group_type_builder(schema.name()).with_fields(vec![field.clone()]).build();
    projection.map_err(|e| damaged(path, "Parquet", 0, e))
}

/// What the row reader gives as text. Bytes that are not marked as UTF-8 are not guessed to be.
fn is_text(field: &TypePtr) -> bool {
    let info = field.get_basic_info();
    let is_single = !info.has_repetition() || info.repetition() != Repetition::REPEATED;
    field.is_primitive()
        && is_single
        && field.get_physical_type() == Physical::BYTE_ARRAY
        && matches!(info.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON)
}

fn describe(field: &TypePtr) -> String {
    if field.is_group() {
        return "a list or a struct".into();
    }
    format!("{}", field.get_physical_type())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::corpus::{read_parquet, visit_parquet};
    use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::path::PathBuf;
    use std::sync::Arc;

    /// A file by `scripts/make-table-fixtures.py`, with pyarrow.
    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(name)
    }

    /// A file of one optional column `text` whose definition levels (1: there is a value) are `levels`.
    fn written(path: &Path, texts: &[&[u8]], levels: &[i16]) {
        written_by(path, texts, levels, Compression::UNCOMPRESSED);
    }

    fn written_by(path: &Path, texts: &[&[u8]], levels: &[i16], compression: Compression) {
        let schema = parse_message_type("message m { OPTIONAL BYTE_ARRAY text (UTF8); }").expect("a schema");
        let file = std::fs::File::create(path).expect("a file");
        let mut writer = {
            let properties = WriterProperties::builder().set_compression(compression).build();
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).expect("a writer")
        };
        let mut group = writer.next_row_group().expect("a row group");
        let mut column = group.next_column().expect("columns").expect("a column");
        let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(text.to_vec())).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(levels), None).expect("written");
        column.close().expect("closed");
        group.close().expect("closed");
        writer.close().expect("closed");
    }

    #[test]
    fn documents_are_the_texts_of_the_column() {
        for name in ["snappy.parquet", "zstd.parquet"] {
            let documents = read_parquet(&[fixture(name)], "question").expect(name);
            assert_eq!(documents, ["Why?", "Été\u{2028}or not?"], "{name}");
        }
        let documents = read_parquet(&[fixture("zstd.parquet"), fixture("snappy.parquet")], "id");
        assert_eq!(documents.expect("documents"), ["q0", "q1", "q2", "q0", "q1", "q2"]);
    }

    #[test]
    fn every_compression_that_writers_use_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.parquet");
        let texts: Vec<String> = (0..50).map(|i| format!("row {i} of some text, some text")).collect();
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        for compression in [
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::BROTLI(BrotliLevel::default()),
            Compression::LZ4,
            Compression::LZ4_RAW,
            Compression::ZSTD(ZstdLevel::default()),
        ] {
            written_by(&path, &bytes, &vec![1; texts.len()], compression);
            let found = read_parquet(std::slice::from_ref(&path), "text");
            assert_eq!(found.expect("documents"), texts, "{compression}");
            assert_eq!(crate::data::tables::read_rows(&path).expect("rows").len(), texts.len());
        }
    }

    #[test]
    fn rows_without_text_can_be_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("null.parquet");
        written(&path, &[b"a", b"b"], &[1, 0, 1, 0]);
        let (mut seen, mut faults) = (0, 0);
        let mut bad = |_| {
            faults += 1;
            Ok(())
        };
        let mut keep = |_: &str, _| {
            seen += 1;
            Ok(())
        };
        visit_parquet(&path, "text", &mut bad, &mut keep).expect("documents");
        assert_eq!((seen, faults), (2, 2));
    }

    #[test]
    fn faults_name_file_row_and_nearest_column() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        let mut messages = Vec::new();
        let mut expect = |path: &Path, column: &str| {
            let error = read_parquet(&[path.to_path_buf()], column).expect_err("a fault").to_string();
            let root = format!("{}/", path.parent().expect("a folder").display());
            messages.push(error.replace(&root, ""));
        };
        expect(&fixture("zstd.parquet"), "qestion");
        expect(&fixture("zstd.parquet"), "text");
        expect(&fixture("zstd.parquet"), "label");
        expect(&fixture("zstd.parquet"), "choices");
        written(&place("null.parquet"), &[b"a", b"b"], &[1, 0, 1]);
        expect(&place("null.parquet"), "text");
        written(&place("bytes.parquet"), &[b"a", b"\xff"], &[1, 1]);
        expect(&place("bytes.parquet"), "text");
        let bytes = std::fs::read(fixture("zstd.parquet")).expect("a fixture");
        std::fs::write(place("cut.parquet"), &bytes[..bytes.len() / 2]).expect("written");
        expect(&place("cut.parquet"), "question");
        std::fs::write(place("empty.parquet"), b"").expect("written");
        expect(&place("empty.parquet"), "question");
        expect(&place("none.parquet"), "question");
        expect(&fixture("rows.jsonl"), "question");
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn a_row_is_shown_before_a_later_one_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("null.parquet");
        written(&path, &[b"a"], &[1, 0]);
        let mut seen = Vec::new();
        let mut keep = |text: &str, _| {
            seen.push(text.to_string());
            Ok(())
        };
        assert!(visit_parquet(&path, "text", &mut Err, &mut keep).is_err());
        assert_eq!(seen, ["a"]);
    }
}
