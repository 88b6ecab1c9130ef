//! What reaches the device, when, and as what: on a device of sixteen bytes that keeps a journal.
use super::*;
use crate::tensor::cuda::device::Argument;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// What uploading and recording take: other threads could come in between.
const TIME: Duration = Duration::from_micros(50);

/// Addresses are indices of `bytes`. Every call is a line of the journal.
#[derive(Default)]
struct Journal {
    bytes: Mutex<[u8; 16]>,
    lines: Mutex<Vec<String>>,
    /// Zeroing this address fails.
    broken: Option<u64>,
    makes_no_graphs: bool,
    recording: AtomicBool,
}

fn fault(call: &str) -> DeviceError {
    DeviceError::Failed { call: call.to_string(), what: "a fault".to_string(), remedy: "mend it" }
}

impl Journal {
    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    /// The lines since the last call.
    fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

impl Device for Journal {
    type Memory = ();
    type Graph = Vec<Command>;

    fn name(&self) -> String {
        "a journal".to_string()
    }

    fn multiprocessors(&self) -> u32 {
        1
    }

    fn allocate(&self, _: usize) -> Result<(), DeviceError> {
        Ok(())
    }

    fn address(&self, (): &()) -> u64 {
        0
    }

    unsafe fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        for wait in [TIME, Duration::ZERO] {
            let recording = self.recording.load(Ordering::SeqCst);
            assert!(!recording, "an upload is recorded with another thread's commands");
            std::thread::sleep(wait);
        }
        self.note(format!("upload {to}"));
        self.bytes.lock().unwrap()[to as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    unsafe fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.note(format!("download {from}"));
        bytes.copy_from_slice(&self.bytes.lock().unwrap()[from as usize..][..bytes.len()]);
        Ok(())
    }

    unsafe fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), DeviceError> {
        self.note(format!("copy {from} to {to}"));
        let from = from as usize;
        self.bytes.lock().unwrap().copy_within(from..from + bytes, to as usize);
        Ok(())
    }

    unsafe fn zero(&self, at: u64, bytes: usize) -> Result<(), DeviceError> {
        if self.broken == Some(at) {
            return Err(fault("zero"));
        }
        self.note(format!("zero {at}"));
        self.bytes.lock().unwrap()[at as usize..][..bytes].fill(0);
        Ok(())
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        self.note(format!("launch {} {:?}", launch.kernel, launch.arguments));
        Ok(())
    }

    unsafe fn multiply(&self, _: &Multiplication) -> Result<(), DeviceError> {
        unreachable!("no test multiplies")
    }

    unsafe fn record(&self, commands: &[Command]) -> Result<Vec<Command>, DeviceError> {
        if self.makes_no_graphs {
            return Err(fault("record"));
        }
        self.note(format!("record {}", commands.len()));
        self.recording.store(true, Ordering::SeqCst);
        std::thread::sleep(TIME);
        self.recording.store(false, Ordering::SeqCst);
        Ok(commands.to_vec())
    }

    unsafe fn replay(&self, graph: &Vec<Command>) -> Result<(), DeviceError> {
        self.note(format!("replay {}", graph.len()));
        // SAFETY: the caller's contract.
        graph.iter().try_for_each(|command| unsafe { command.issue(self) })
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        self.note("synchronize".to_string());
        Ok(())
    }
}

const SMALL: Limits = Limits { least: 2, most: 4, known: 2 };

/// Zeros at each of `places`, then the journal's lines.
fn zeros(queue: &Queue<Journal>, places: &[u64]) -> Vec<String> {
    for &at in places {
        // SAFETY: the journal's own bytes.
        unsafe { queue.zero(at, 1) }.unwrap();
    }
    queue.flush().unwrap();
    queue.inner().read()
}

#[test]
fn a_list_that_returns_is_recorded_and_then_replayed() {
    let queue = Queue::within(Journal::default(), SMALL);
    assert_eq!(zeros(&queue, &[1, 2]), ["zero 1", "zero 2"]);
    assert_eq!(zeros(&queue, &[1, 2]), ["record 2", "replay 2", "zero 1", "zero 2"]);
    assert_eq!(zeros(&queue, &[1, 2]), ["replay 2", "zero 1", "zero 2"]);
    // Another order, another address, and a list too short for a graph.
    assert_eq!(zeros(&queue, &[2, 1]), ["zero 2", "zero 1"]);
    assert_eq!(zeros(&queue, &[1, 3]), ["zero 1", "zero 3"]);
    for _ in 0..3 {
        assert_eq!(zeros(&queue, &[1]), ["zero 1"]);
    }
    assert_eq!(queue.counts(), Counts { issued: 9, recorded: 1, replayed: 2 });
    assert_eq!(zeros(&queue, &[]), [""; 0]);
}

/// Everything about a launch makes it another one, the type and sign of an argument too.
#[test]
fn launches_are_equal_where_all_of_them_is() {
    let plain = Launch {
        file: "file",
        defines: &[("HEAD", 64)],
        kernel: "kernel",
        grid: [1, 2, 3],
        block: 128,
        shared_bytes: 0,
        arguments: &[Argument::F32(0.0), Argument::U32(7)],
    };
    let others = [
        Launch { file: "other", ..plain },
        Launch { defines: &[("HEAD", 48)], ..plain },
        Launch { kernel: "other", ..plain },
        Launch { grid: [1, 2, 4], ..plain },
        Launch { block: 64, ..plain },
        Launch { shared_bytes: 16, ..plain },
        Launch { arguments: &[Argument::F32(-0.0), Argument::U32(7)], ..plain },
        Launch { arguments: &[Argument::F32(0.0), Argument::U64(7)], ..plain },
        Launch { arguments: &[Argument::F32(0.0)], ..plain },
    ];
    assert_eq!(Command::from(&plain), Command::from(&plain));
    for other in others {
        assert_ne!(Command::from(&plain), Command::from(&other));
    }
}

#[test]
fn a_long_list_begins_before_it_ends() {
    let queue = Queue::within(Journal::default(), SMALL);
    for at in 0..5 {
        // SAFETY: the journal's own bytes.
        unsafe { queue.zero(at, 1) }.unwrap();
    }
    assert_eq!(queue.inner().read(), ["zero 0", "zero 1", "zero 2", "zero 3"]);
    queue.synchronize().unwrap();
    assert_eq!(queue.inner().read(), ["zero 4", "synchronize"]);
}

/// A copy that waits has still to read what an upload replaces: memory is reused as soon as its owner is dropped.
#[test]
fn uploads_do_not_overtake_the_commands_that_read_what_is_there() {
    let queue = Queue::new(Journal::default());
    let mut found = [0; 2];
    // SAFETY: the journal's own bytes.
    unsafe {
        queue.upload(0, &[1, 2]).unwrap();
        queue.copy(8, 0, 2).unwrap();
        queue.upload(0, &[3, 4]).unwrap();
        queue.copy(10, 0, 2).unwrap();
        queue.download(8, &mut found).unwrap();
        assert_eq!(found, [1, 2]);
        queue.download(10, &mut found).unwrap();
    }
    assert_eq!(found, [3, 4]);
    let expected = ["upload 0", "copy 0 to 8", "upload 0", "copy 0 to 10", "download 8", "download 10"];
    assert_eq!(queue.inner().read(), expected);
}

/// A stream takes all that it is given while it is captured into the graph, from whatever thread.
#[test]
fn no_thread_gets_into_a_graph_of_another() {
    let queue = Queue::within(Journal::default(), SMALL);
    let (done, uploaded) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let uploads = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                // SAFETY: the journal's own bytes.
                unsafe { queue.upload(15, &[1]) }.unwrap();
                uploaded.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(TIME);
            }
        });
        // Known, then recorded, unless an upload came between the two commands.
        for _ in 0..10_000 {
            queue.forget();
            zeros(&queue, &[1, 2]);
            zeros(&queue, &[1, 2]);
            let enough = queue.counts().recorded >= 50 && uploaded.load(Ordering::SeqCst) >= 50;
            if enough || uploads.is_finished() {
                break;
            }
        }
        done.store(true, Ordering::SeqCst);
        uploads.join().expect("no upload was recorded");
    });
    assert!(queue.counts().recorded >= 50, "{:?}", queue.counts());
}

#[test]
fn a_fault_comes_with_the_flush_and_nothing_is_done_after_it() {
    let queue = Queue::within(Journal { broken: Some(3), ..Journal::default() }, SMALL);
    for _ in 0..2 {
        zeros(&queue, &[1, 2]);
    }
    for at in [2, 3, 1] {
        // SAFETY: the journal's own bytes.
        unsafe { queue.zero(at, 1) }.unwrap();
    }
    assert_eq!(queue.flush(), Err(fault("zero")));
    assert_eq!(queue.inner().read(), ["zero 2"]);
    // What the fault left undone cannot be read, and a graph of before is not replayed over it.
    // SAFETY: the journal's own bytes.
    unsafe {
        for at in [1, 2] {
            queue.zero(at, 1).unwrap();
        }
        assert_eq!(queue.download(1, &mut [0]), Err(fault("zero")));
        assert_eq!(queue.upload(1, &[0]), Err(fault("zero")));
    }
    assert_eq!(queue.synchronize(), Err(fault("zero")));
    assert_eq!(queue.inner().read(), [""; 0]);
}

#[test]
fn without_graphs_every_command_is_issued_by_itself() {
    let queue = Queue::within(Journal { makes_no_graphs: true, ..Journal::default() }, SMALL);
    for _ in 0..4 {
        assert_eq!(zeros(&queue, &[1, 2]), ["zero 1", "zero 2"]);
    }
    assert_eq!(queue.counts(), Counts { issued: 8, ..Counts::default() });
}

#[test]
fn of_many_lists_the_one_not_used_for_longest_is_forgotten() {
    let queue = Queue::within(Journal::default(), SMALL);
    let replayed = |places| zeros(&queue, places).iter().any(|line| line.starts_with("replay"));
    assert!(!replayed(&[1, 2]));
    assert!(!replayed(&[2, 3]));
    assert!(replayed(&[1, 2]));
    // The third pushes out the second.
    assert!(!replayed(&[3, 4]));
    assert!(replayed(&[1, 2]));
    assert!(!replayed(&[2, 3]));
    queue.forget();
    assert!(!replayed(&[1, 2]));
}
