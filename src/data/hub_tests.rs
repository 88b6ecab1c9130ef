//! The hub's client against a hub of a few lines on this machine.
use super::DataError;
use super::hub::{DatasetSplit, Hub, checked_sha256};
use crate::base::hash::sha256_hex;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub holds and how it misbehaves.
struct Served {
    files: BTreeMap<&'static str, Vec<u8>>,
    /// The hash that it says of `model.safetensors`.
    etag: String,
    /// Bytes of a body after which the connection is cut, for so many requests.
    cut_after: usize,
    cuts_left: AtomicUsize,
    /// Ranges asked of the weights.
    ranges: Mutex<Vec<String>>,
}

fn served(weights: &[u8]) -> Served {
    let files = [
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", weights.to_vec()),
        ("default/test/0000.parquet", b"some rows".to_vec()),
        ("onnx/model.onnx", b"not wanted".to_vec()),
        ("tokenizer.json", b"{\"a\": 1}".to_vec()),
    ];
    Served {
        files: files.into_iter().collect(),
        etag: sha256_hex(weights),
        cut_after: usize::MAX,
        cuts_left: AtomicUsize::new(0),
        ranges: Mutex::default(),
    }
}

/// Serves until the process ends; answers the address.
fn serve(served: Arc<Served>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let served = served.clone();
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(first) = lines.next() else { return };
                let range = lines
                    .take_while(|line| !line.is_empty())
                    .filter_map(|l| l.to_lowercase().strip_prefix("range: bytes=").map(str::to_string))
                    .last();
                let path = first.split(' ').nth(1).unwrap_or_default().to_string();
                let _ = stream.write_all(&answer(&served, &path, range.as_deref()));
            });
        }
    });
    address
}

/// One response, whole or cut.
fn answer(served: &Served, path: &str, range: Option<&str>) -> Vec<u8> {
    let head = |status: &str, headers: String, length: usize| {
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n")
            .into_bytes()
    };
    let listed =
        ["/api/models/small/one/revision/main", "/api/datasets/small/set/revision/refs%2Fconvert%2Fparquet"];
    if listed.contains(&path) {
        let names: Vec<_> = served.files.keys().map(|f| serde_json::json!({"rfilename": f})).collect();
        let body = serde_json::json!({"siblings": names, "sha": COMMIT}).to_string();
        return [head("200 OK", String::new(), body.len()), body.into_bytes()].concat();
    }
    let model = path.strip_prefix(&format!("/small/one/resolve/{COMMIT}/"));
    let data = path.strip_prefix(&format!("/datasets/small/set/resolve/{COMMIT}/"));
    let file = model.or(data).unwrap_or_default();
    let Some((name, body)) = served.files.get_key_value(file) else {
        return head("404 Not Found", String::new(), 0);
    };
    let (from, to) = range.and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let from: usize = from.parse().unwrap();
    let to = to.parse().map_or(body.len(), |last: usize| (last + 1).min(body.len()));
    if from >= body.len() {
        return head("416 Range Not Satisfiable", String::new(), 0);
    }
    let is_weights = *name == "model.safetensors";
    if is_weights && to > 1 {
        served.ranges.lock().unwrap().push(range.unwrap_or_default().to_string());
    }
    let etag = if is_weights { served.etag.clone() } else { format!("git{}", name.len()) };
    let headers = format!(
        "ETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Range: bytes {from}-{}/{}\r\n",
        to - 1,
        body.len()
    );
    let mut response = head("206 Partial Content", headers, to - from);
    let cut = is_weights && to > 1 && served.cuts_left.load(Ordering::SeqCst) > 0;
    if cut {
        served.cuts_left.fetch_sub(1, Ordering::SeqCst);
    }
    let sent = if cut { served.cut_after.min(to - from) } else { to - from };
    response.extend_from_slice(&body[from..from + sent]);
    response
}

fn hub(endpoint: String, cache: &Path) -> Hub {
    Hub { endpoint, cache: cache.to_path_buf(), progress: false }
}

/// Nothing listens there.
fn nowhere(cache: &Path) -> Hub {
    hub("http://127.0.0.1:9".to_string(), cache)
}

#[test]
fn a_model_is_fetched_once() {
    let cache = tempfile::tempdir().unwrap();
    let weights = b"some weights";
    let folder = hub(serve(Arc::new(served(weights))), cache.path()).folder("hf:small/one").unwrap();
    assert!(folder.ends_with(Path::new("models--small--one/snapshots").join(COMMIT)));
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights);
    assert!(folder.join("tokenizer.json").is_file() && !folder.join("onnx").exists());
    assert_eq!(checked_sha256(&folder.join("model.safetensors")), Some(sha256_hex(weights)));
    assert_eq!(checked_sha256(&folder.join("config.json")), None, "stored under a Git hash");
    // The second time nothing is asked for, under the branch's name as under the commit's.
    for place in ["hf:small/one", "hf:small/one@main", &format!("hf:small/one@{COMMIT}")] {
        assert_eq!(nowhere(cache.path()).folder(place).unwrap(), folder);
    }
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let cache = tempfile::tempdir().unwrap();
    let weights: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    let served = Arc::new(Served { cut_after: 60_000, cuts_left: AtomicUsize::new(1), ..served(&weights) });
    let folder = hub(serve(served.clone()), cache.path()).folder("hf:small/one").unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights);
    let ranges = served.ranges.lock().unwrap().clone();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    assert_eq!(ranges[0], "0-");
    assert!(ranges[1].trim_end_matches('-').parse::<usize>().unwrap() > 0, "{ranges:?}");
}

/// Several at once, each with a lock of its own as processes have: one fetches, and the others find what it fetched.
#[test]
fn of_several_at_once_one_fetches() {
    let cache = tempfile::tempdir().unwrap();
    let weights: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    // Cut again and again: whoever did not wait would remove or append to the part of another.
    let served = Arc::new(Served { cut_after: 30_000, cuts_left: AtomicUsize::new(2), ..served(&weights) });
    let endpoint = serve(served.clone());
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                let folder = hub(endpoint.clone(), cache.path()).folder("hf:small/one").unwrap();
                assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights);
            });
        }
    });
    let ranges = served.ranges.lock().unwrap().clone();
    assert_eq!(ranges.iter().filter(|range| *range == "0-").count(), 1, "{ranges:?}");
    assert_eq!(ranges.len(), 3, "{ranges:?}");
}

/// Killed between the last byte and the new name.
#[test]
fn a_whole_part_is_no_dead_end() {
    let cache = tempfile::tempdir().unwrap();
    let weights = b"some weights";
    let blobs = cache.path().join("models--small--one/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(format!("{}.part", sha256_hex(weights))), weights).unwrap();
    let folder = hub(serve(Arc::new(served(weights))), cache.path()).folder("hf:small/one").unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights);
}

#[test]
fn weights_that_are_not_what_their_hash_says_are_refused_and_removed() {
    let cache = tempfile::tempdir().unwrap();
    let wrong = Served { etag: sha256_hex(b"other weights"), ..served(b"some weights") };
    let error = hub(serve(Arc::new(wrong)), cache.path()).folder("hf:small/one").unwrap_err();
    let DataError::Checksum { path, .. } = &error else { panic!("{error}") };
    assert!(!path.exists());
    // The right ones are fetched after that.
    let right = hub(serve(Arc::new(served(b"some weights"))), cache.path()).folder("hf:small/one").unwrap();
    assert_eq!(std::fs::read(right.join("model.safetensors")).unwrap(), b"some weights");
}

#[test]
fn without_the_hub_the_message_names_a_folder_and_filling_it_helps() {
    let cache = tempfile::tempdir().unwrap();
    let error = nowhere(cache.path()).folder("hf:small/one@v1").unwrap_err();
    let DataError::Hub { folder, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains(&format!("{}", folder.display())), "{error}");
    std::fs::create_dir_all(folder).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::write(folder.join(file), "{}").unwrap();
    }
    assert_eq!(&nowhere(cache.path()).folder("hf:small/one@v1").unwrap(), folder);
}

#[test]
fn a_model_that_is_not_there_and_names_that_are_none() {
    let cache = tempfile::tempdir().unwrap();
    let endpoint = serve(Arc::new(served(b"some weights")));
    let error = hub(endpoint.clone(), cache.path()).folder("hf:small/two").unwrap_err();
    assert!(error.to_string().contains("nothing of that name or revision"), "{error}");
    for place in ["hf:", "hf:a/b/c", "hf:../x", "hf:a/..", "hf:a b/c", "hf:a/b@", "hf:a/b@../.."] {
        let error = hub(endpoint.clone(), cache.path()).folder(place).unwrap_err();
        assert!(matches!(error, DataError::HubName { .. }), "{place}: {error}");
    }
}

/// Several cuts, over several calls: what an earlier call left is gone on with, and never appended to twice.
#[test]
fn an_earlier_part_is_gone_on_with() {
    let cache = tempfile::tempdir().unwrap();
    let weights: Vec<u8> = (0..100_000u32).map(|i| (i / 7) as u8).collect();
    let blobs = cache.path().join("models--small--one/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(format!("{}.part", sha256_hex(&weights))), &weights[..40_000]).unwrap();
    let served = Arc::new(Served { cut_after: 0, cuts_left: AtomicUsize::new(2), ..served(&weights) });
    let folder = hub(serve(served.clone()), cache.path()).folder("hf:small/one").unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights);
    assert_eq!(*served.ranges.lock().unwrap(), ["40000-"; 3]);
}

#[test]
fn a_split_of_a_data_set_is_fetched_once() {
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(serve(Arc::new(served(b"some weights"))), cache.path());
    let split = DatasetSplit { dataset: "small/set", config: "default", split: "test" };
    let path = hub.split_file(split).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"some rows");
    assert_eq!(nowhere(cache.path()).split_file(split).unwrap(), path);
    let error = hub.split_file(DatasetSplit { split: "train", ..split }).unwrap_err().to_string();
    assert!(error.contains("it has no `default/train/0000.parquet`; its files:"), "{error}");
    let error = hub.split_file(DatasetSplit { dataset: "small/other", ..split }).unwrap_err().to_string();
    assert!(error.contains("`small/other` (configuration `default`)"), "{error}");
    assert!(error.contains("nothing of that name"), "{error}");
}

/// Out of reach, the message names the data set and a file; putting it there helps.
#[test]
fn without_the_hub_a_split_can_be_put_in_place() {
    let cache = tempfile::tempdir().unwrap();
    let split = DatasetSplit { dataset: "small/set", config: "default", split: "test" };
    let error = nowhere(cache.path()).split_file(split).unwrap_err();
    let DataError::HubSplit { file, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, "rows").unwrap();
    assert_eq!(&nowhere(cache.path()).split_file(split).unwrap(), file);
}
