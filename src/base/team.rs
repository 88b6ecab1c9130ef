//! A loop on all threads of a pool, whose threads stay awake for a moment after it.
//!
//! A step of training is some hundred short loops, one after the other. A thread of rayon's goes to sleep some microseconds
//! after it has found nothing to do, and to wake it takes longer than many of these loops; so within [`with_team`] the threads
//! of a pool watch for the next loop a little longer, as the teams of OpenMP do. Meanwhile they do what else is handed to rayon.
//!
//! Each thread has a part of a loop's pieces, neighbours, so that what it has read in one loop it finds in its cache in the next;
//! whoever is done with its own takes from the end of another's.
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread watches after its last piece.
const AWAKE: Duration = Duration::from_micros(200);

/// Pieces of a loop that are left to one thread: the first in the lower half, the one behind the last in the upper.
struct Part(AtomicU64);

impl Part {
    fn new(first: usize, end: usize) -> Self {
        Part(AtomicU64::new(first as u64 | (end as u64) << 32))
    }

    /// The next piece, `from_end` the last one.
    fn take(&self, from_end: bool) -> Option<usize> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let (first, end) = (seen & u64::from(u32::MAX), seen >> 32);
            if first >= end {
                return None;
            }
            let (piece, left) =
                if from_end { (end - 1, first | (end - 1) << 32) } else { (first, (first + 1) | end << 32) };
            match self.0.compare_exchange_weak(seen, left, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(piece as usize),
                Err(now) => seen = now,
            }
        }
    }
}

/// A loop that is being run.
struct Loop<'a> {
    piece: &'a (dyn Fn(usize) + Sync),
    parts: Vec<Part>,
    /// What the first piece that failed has to say
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Loop<'_> {
    /// Runs what is left to thread `own`, then what is left to others; whether that was anything.
    fn take_part(&self, own: usize) -> bool {
        let mut has_worked = false;
        let mut run = |piece| {
            has_worked = true;
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (self.piece)(piece))) {
                let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(payload);
            }
        };
        let threads = self.parts.len();
        for ahead in 0..threads {
            let part = &self.parts[(own + ahead) % threads];
            while let Some(piece) = part.take(ahead > 0) {
                run(piece);
            }
        }
        has_worked
    }
}

/// What a thread of a team is doing.
const ASLEEP: u8 = 0;
const CALLED: u8 = 1;
const AWAKE_NOW: u8 = 2;

/// The threads of a pool, as seen by the one that leads them.
struct Team {
    /// The loop that is being run, if one is
    current: AtomicPtr<Loop<'static>>,
    /// Threads that may be looking at it
    inside: AtomicUsize,
    /// Of each thread of the pool
    states: Vec<AtomicU8>,
    is_over: AtomicBool,
}

impl Team {
    /// Does pieces of loops, and rayon's jobs, until there are none for a while.
    fn watch(&self, own: usize) {
        let state = &self.states[own];
        let mut asked = CALLED;
        while state.compare_exchange(asked, AWAKE_NOW, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            self.stay_awake(own);
            state.store(ASLEEP, Ordering::SeqCst);
            // A loop that has just begun has found this thread awake, and did not call it.
            if self.is_over.load(Ordering::Relaxed) || self.current.load(Ordering::SeqCst).is_null() {
                return;
            }
            asked = ASLEEP;
        }
    }

    fn stay_awake(&self, own: usize) {
        let mut since = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) && since.elapsed() < AWAKE {
            let is_on = !self.current.load(Ordering::Relaxed).is_null();
            let has_worked = is_on && self.join(own) || rayon::yield_now() == Some(rayon::Yield::Executed);
            if is_on || has_worked {
                since = Instant::now();
            }
            if !has_worked {
                // Whoever has more threads than cores needs this one for those that work.
                std::thread::yield_now();
            }
        }
    }

    /// Takes part in the loop that is being run; whether there was a piece left.
    fn join(&self, own: usize) -> bool {
        // Whoever leads takes the loop away first and then waits until nobody is inside; all in one order.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let current = self.current.load(Ordering::SeqCst);
        // SAFETY: it is not taken back while somebody is inside.
        let has_worked = !current.is_null() && unsafe { (*current).take_part(own) };
        self.inside.fetch_sub(1, Ordering::SeqCst);
        has_worked
    }

    /// Calls those that sleep.
    fn wake(self: &Arc<Self>, leader: usize) {
        let mut is_missing = false;
        for (thread, state) in self.states.iter().enumerate() {
            is_missing |= thread != leader
                && state.compare_exchange(ASLEEP, CALLED, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        }
        if is_missing {
            let team = self.clone();
            rayon::spawn_broadcast(move |context| team.watch(context.index()));
        }
    }

    /// Runs all pieces, with whoever is awake.
    fn run(self: &Arc<Self>, leader: usize, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        let threads = self.states.len();
        let part = |thread: usize| Part::new(thread * pieces / threads, (thread + 1) * pieces / threads);
        let current = Loop { piece, parts: (0..threads).map(part).collect(), panic: Mutex::new(None) };
        self.current.store((&raw const current).cast_mut().cast(), Ordering::SeqCst);
        self.wake(leader);
        current.take_part(leader);
        self.current.store(std::ptr::null_mut(), Ordering::SeqCst);
        let mut turns = 0u32;
        while self.inside.load(Ordering::SeqCst) > 0 {
            turns += 1;
            // Others may need this core to get there.
            if turns.is_multiple_of(64) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        if let Some(payload) = current.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(payload);
        }
    }
}

thread_local! {
    /// The team that this thread leads.
    static LED: RefCell<Option<(usize, Arc<Team>)>> = const { RefCell::new(None) };
}

/// Does `work`, whose loops ([`for_each_piece`]) the threads of the current pool watch for. Where the calling thread is not one of a
/// pool, or the only one, `work` is done as it is.
pub fn with_team<R>(work: impl FnOnce() -> R) -> R {
    /// Dismisses the team, whatever comes.
    struct Dismiss;
    impl Drop for Dismiss {
        fn drop(&mut self) {
            if let Some((_, team)) = LED.take() {
                team.is_over.store(true, Ordering::Relaxed);
            }
        }
    }
    let threads = rayon::current_num_threads();
    let is_led = LED.with_borrow(Option::is_some);
    let (Some(leader), false, true) = (rayon::current_thread_index(), is_led, threads > 1) else {
        return work();
    };
    let team = Team {
        current: AtomicPtr::default(),
        inside: AtomicUsize::new(0),
        states: (0..threads).map(|_| AtomicU8::new(ASLEEP)).collect(),
        is_over: AtomicBool::new(false),
    };
    LED.set(Some((leader, Arc::new(team))));
    let _dismiss = Dismiss;
    work()
}

/// Runs `piece(0) … piece(pieces − 1)`, in parallel where the current thread pool has more than one thread.
///
/// # Panics
/// As `piece` does, once all pieces have been run.
pub fn for_each_piece(pieces: usize, piece: impl Fn(usize) + Sync + Send) {
    if pieces <= 1 || rayon::current_num_threads() == 1 {
        return (0..pieces).for_each(piece);
    }
    let led = LED.with_borrow(Clone::clone);
    match led {
        // A loop within a piece is left to rayon.
        Some((leader, team))
            if pieces <= u32::MAX as usize && team.current.load(Ordering::Relaxed).is_null() =>
        {
            team.run(leader, pieces, &piece);
        }
        _ => {
            use rayon::prelude::*;
            (0..pieces).into_par_iter().with_max_len(1).for_each(piece);
        }
    }
}

/// What `work` makes of each of `items`, in their order; in parallel as [`for_each_piece`].
pub fn map_items<T: Send, R: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> R + Sync + Send,
) -> Vec<R> {
    if rayon::current_num_threads() == 1 {
        return items.map(work).collect();
    }
    // Each is locked by one thread alone.
    let items: Vec<Mutex<(Option<T>, Option<R>)>> =
        items.map(|item| Mutex::new((Some(item), None))).collect();
    for_each_piece(items.len(), |piece| {
        let mut own = items[piece].lock().unwrap_or_else(PoisonError::into_inner);
        own.1 = own.0.take().map(&work);
    });
    items.into_iter().filter_map(|item| item.into_inner().unwrap_or_else(PoisonError::into_inner).1).collect()
}

/// `work` for each of `items`; in parallel as [`for_each_piece`].
pub fn for_each_item<T: Send>(items: impl Iterator<Item = T>, work: impl Fn(T) + Sync + Send) {
    map_items(items, work);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::thread::sleep;

    fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| with_team(work))
    }

    fn counts(pieces: usize, count: impl Fn(&AtomicUsize) + Sync + Send) -> Vec<usize> {
        let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
        for_each_piece(pieces, |piece| count(&counts[piece]));
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    fn add_one(count: &AtomicUsize) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_piece_is_run_once(threads in 1usize..5, loops in prop::collection::vec(0usize..70, 1..12), pause in 0u64..3) {
            let all = in_pool(threads, || {
                let one = |&pieces: &usize| {
                    // Some loops find the others asleep.
                    sleep(AWAKE * pause as u32 / 2);
                    counts(pieces, add_one)
                };
                loops.iter().map(one).collect::<Vec<_>>()
            });
            for (counts, pieces) in all.iter().zip(&loops) {
                prop_assert_eq!(counts, &vec![1; *pieces]);
            }
        }
    }

    /// A piece that takes until all threads have one is only possible with all of them, also where they are just falling asleep.
    #[test]
    fn threads_of_a_team_work_at_the_same_time() {
        let all_met = in_pool(3, || {
            (0..400).all(|turn| {
                let (met, begun) = (AtomicUsize::new(0), Instant::now());
                for_each_piece(3, |_| {
                    add_one(&met);
                    while met.load(Ordering::Relaxed) < 3 && begun.elapsed() < Duration::from_secs(20) {
                        std::thread::yield_now();
                    }
                });
                let pause = Instant::now();
                while pause.elapsed() < AWAKE * (turn % 40) / 20 {
                    std::hint::spin_loop();
                }
                begun.elapsed() < Duration::from_secs(20)
            })
        });
        assert!(all_met);
    }

    #[test]
    fn loops_may_be_nested_and_mixed_with_those_of_rayon() {
        let sums = in_pool(2, || {
            map_items(0..6usize, |outer| {
                use rayon::prelude::*;
                let inner: usize = counts(outer, add_one).iter().sum();
                inner + (0..outer).into_par_iter().map(|_| 10).sum::<usize>()
            })
        });
        assert_eq!(sums, [0, 11, 22, 33, 44, 55]);
    }

    #[test]
    fn a_panic_goes_on_where_the_loop_was_called_and_the_team_stays() {
        in_pool(2, || {
            for failing in [0, 7] {
                let run = || for_each_piece(8, |piece| assert!(piece != failing, "piece {failing}"));
                let payload = catch_unwind(run).expect_err("a piece has failed");
                assert_eq!(payload.downcast_ref::<String>(), Some(&format!("piece {failing}")));
                assert_eq!(counts(8, add_one), [1; 8]);
            }
        });
    }

    #[test]
    fn items_keep_their_order_and_need_no_team() {
        let squares = || map_items((0..100u64).map(|x| x + 1), |x| x * x);
        let expected: Vec<u64> = (1..=100).map(|x| x * x).collect();
        assert_eq!(squares(), expected);
        assert_eq!(in_pool(4, squares), expected);
        assert_eq!(in_pool(1, squares), expected);
    }
}
