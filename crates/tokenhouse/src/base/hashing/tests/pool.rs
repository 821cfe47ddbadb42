//! The pool under load, abuse and defects. Where a test needs a thread to be busy it gives it a job that waits for
//! a signal: nothing here depends on time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::entropy::Entropy;
use crate::base::secret::Secret;

use super::super::costs::{HashingOptions, HashingOptionsError};
use super::super::pool::{HashingError, HashingPool, HashingStartError, Verdict};

/// Long enough for any machine; only a defect waits so long.
const FOREVER: Duration = Duration::from_secs(60);

pub(super) fn pool(threads: usize, queue: usize) -> HashingPool {
    let options = HashingOptions {
        threads,
        queue,
        ..HashingOptions::cheap()
    };
    HashingPool::start(options, Entropy::seeded(1)).unwrap()
}

/// Keeps one thread busy until the sender is dropped or used; returns once it is.
fn occupy(pool: &HashingPool) -> (mpsc::Sender<()>, oneshot::Receiver<()>) {
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let answer = pool
        .submit(move |_| {
            started.send(()).unwrap();
            released.recv().ok();
        })
        .unwrap();
    has_started.recv_timeout(FOREVER).unwrap();
    (release, answer)
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let pool = pool(1, 2);
    let (release, held) = occupy(&pool);
    let waiting = [pool.submit(|_| 1).unwrap(), pool.submit(|_| 2).unwrap()];
    match pool.hash(Secret::from("violet kettle")).await {
        Err(HashingError::Overloaded { retry_after }) => assert_eq!(retry_after, Duration::from_secs(1)),
        other => panic!("{other:?}"),
    }
    let status = pool.status();
    assert_eq!(
        (status.queued, status.capacity, status.busy, status.rejected),
        (2, 2, 1, 1)
    );

    drop(release);
    held.await.unwrap();
    for (answer, expected) in waiting.into_iter().zip([1, 2]) {
        assert_eq!(answer.await.unwrap(), expected);
    }
    assert!(pool.hash(Secret::from("violet kettle")).await.is_ok());
    assert_eq!(pool.status().rejected, 1);
}

#[tokio::test]
async fn jobs_whose_callers_left_are_neither_done_nor_in_the_way() {
    let pool = pool(1, 4);
    let (release, held) = occupy(&pool);
    let done = Arc::new(AtomicUsize::new(0));
    let submit = || {
        let done = Arc::clone(&done);
        pool.submit(move |_| done.fetch_add(1, Ordering::SeqCst))
    };
    // A storm of aborted requests: 10 000 come and go while the only thread is busy. None is refused.
    for _ in 0..10_000 {
        drop(submit().unwrap());
    }
    let patient = submit().unwrap();
    // These are still in the queue when the thread comes to them.
    for _ in 0..2 {
        drop(submit().unwrap());
    }
    let last = submit().unwrap();
    drop(release);
    held.await.unwrap();
    patient.await.unwrap();
    last.await.unwrap();
    let status = pool.status();
    assert_eq!(
        (done.load(Ordering::SeqCst), status.abandoned, status.rejected),
        (2, 10_002, 0)
    );
}

#[tokio::test]
async fn a_panic_costs_its_own_caller_the_answer_and_nobody_else() {
    let pool = pool(1, 16);
    for _ in 0..3 {
        let broken = pool
            .submit(|_| -> usize { panic!("a defect, made on purpose") })
            .unwrap();
        assert!(broken.await.is_err());
        // Without its thread the pool would never answer.
        let next = tokio::time::timeout(FOREVER, pool.hash(Secret::from("violet kettle")));
        let stored = next.await.unwrap().unwrap();
        assert_eq!(
            pool.verify(Secret::from("violet kettle"), Some(stored))
                .await
                .unwrap(),
            Verdict::Right
        );
    }
    let status = pool.status();
    assert_eq!((status.panicked, status.completed, status.busy), (3, 6, 0));
}

#[tokio::test]
async fn never_more_jobs_at_once_than_threads() {
    let pool = pool(2, 256);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let answers: Vec<_> = (0..100)
        .map(|_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            pool.submit(move |_| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            })
            .unwrap()
        })
        .collect();
    for answer in answers {
        answer.await.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
    // Two can be at work, a third waits.
    let held = [occupy(&pool), occupy(&pool)];
    let third = pool.submit(|_| ()).unwrap();
    assert_eq!((pool.status().busy, pool.status().queued), (2, 1));
    drop(held.map(|(release, _)| release));
    third.await.unwrap();
}

/// Tells when its thread ends.
struct Farewell(mpsc::Sender<()>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

thread_local!(static FAREWELL: std::cell::RefCell<Option<Farewell>> = const { std::cell::RefCell::new(None) });

/// Hears of the end of the only thread of `pool`.
async fn end_of_thread(pool: &HashingPool) -> mpsc::Receiver<()> {
    let (ended, has_ended) = mpsc::channel();
    let farewell = Farewell(ended);
    pool.submit(move |_| FAREWELL.set(Some(farewell)))
        .unwrap()
        .await
        .unwrap();
    has_ended
}

#[tokio::test]
async fn dropping_the_pool_ends_a_busy_thread_and_tells_who_waits() {
    let pool = pool(1, 16);
    let has_ended = end_of_thread(&pool).await;
    let (release, held) = occupy(&pool);
    let waiting = pool.submit(|_| ()).unwrap();
    drop(pool);
    assert!(waiting.await.is_err());
    drop(release);
    held.await.unwrap();
    has_ended.recv_timeout(FOREVER).unwrap();
}

#[tokio::test]
async fn dropping_the_pool_ends_an_idle_thread() {
    let pool = pool(1, 16);
    let has_ended = end_of_thread(&pool).await;
    drop(pool);
    has_ended.recv_timeout(FOREVER).unwrap();
}

#[tokio::test]
async fn the_pools_threads_are_nicer_than_the_one_that_asks() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::getpriority_process;
        let pool = pool(1, 16);
        let inside = pool
            .submit(|_| getpriority_process(None).unwrap())
            .unwrap()
            .await
            .unwrap();
        let here = getpriority_process(None).unwrap();
        assert_eq!(inside, (here + 10).min(19));
    }
}

#[test]
fn weak_costs_start_no_pool() {
    let weak = HashingOptions {
        allow_weak: false,
        ..HashingOptions::cheap()
    };
    assert!(matches!(
        HashingPool::start(weak, Entropy::seeded(1)),
        Err(HashingStartError::Options(HashingOptionsError::TooWeak))
    ));
}
