//! Calls from other threads: as many as possible, and one from sleep.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use rondel::{Config, EventLoop, EventLoopHandle};

use crate::calls::tokio_runtime;
use crate::case::{Case, median};
use crate::os::Doorbell;

/// Compares calls from `producers` threads that never pause.
pub(crate) fn flood(case: &mut Case<'_>, producers: usize) {
    case.name(format!("calls from {producers} flooding thread(s)"));
    let each = case.scaled(200_000) / producers;
    let total = each * producers;
    case.add("tokio mpsc unbounded", || {
        let runtime = tokio_runtime();
        move || {
            runtime.block_on(async {
                let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<usize>();
                flooding(
                    producers,
                    move || {
                        let sender = sender.clone();
                        move || (0..each).for_each(|number| sender.send(number).expect("is open"))
                    },
                    async || while receiver.recv().await.is_some() {},
                    total,
                )
                .await
            })
        }
    });
    case.add("rondel", || {
        let config = Config { threadsafe_calls: 1 << 16, ..Config::default() };
        let event_loop = EventLoop::with_config(config).expect("opens");
        move || {
            static RECEIVED: AtomicUsize = AtomicUsize::new(0);
            RECEIVED.store(0, SeqCst);
            let remote = event_loop.remote();
            let receive = move |event_loop: &EventLoopHandle| {
                let received = RECEIVED.load(core::sync::atomic::Ordering::Relaxed) + 1;
                RECEIVED.store(received, core::sync::atomic::Ordering::Relaxed);
                if received == total {
                    event_loop.stop();
                }
            };
            let flood = flooding(
                producers,
                move || {
                    let remote = remote.clone();
                    move || {
                        for _ in 0..each {
                            while remote.call_soon_threadsafe(receive).is_err() {
                                thread::yield_now();
                            }
                        }
                    }
                },
                async || event_loop.run_forever().expect("is open"),
                total,
            );
            ready(flood)
        }
    });
    let (rondel, tokio) = (80.0, 385.0);
    case.goal_times("rondel", rondel / tokio, "tokio mpsc unbounded");
}

/// Starts the producers, lets them go at once, and returns the ns per call until
/// the last was received.
async fn flooding<P: FnOnce() + Send + 'static>(
    producers: usize,
    make: impl Fn() -> P,
    receive: impl AsyncFnOnce(),
    total: usize,
) -> f64 {
    let start = Arc::new(Barrier::new(producers + 1));
    let threads: Vec<_> = (0..producers)
        .map(|_| {
            let (start, produce) = (Arc::clone(&start), make());
            thread::spawn(move || {
                start.wait();
                produce();
            })
        })
        .collect();
    // With it goes the last sender that isn't a producer's.
    drop(make);
    start.wait();
    let begun = Instant::now();
    receive().await;
    let ns = begun.elapsed().as_nanos() as f64;
    for thread in threads {
        thread.join().expect("doesn't panic");
    }
    ns / total as f64
}

/// Returns the result of a future that never waits.
fn ready<F: Future>(future: F) -> F::Output {
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    match core::pin::pin!(future).poll(&mut context) {
        core::task::Poll::Ready(output) => output,
        core::task::Poll::Pending => unreachable!("nothing in it waits"),
    }
}

/// Is how a thread that asked learns of the answer: the same for all.
#[derive(Clone)]
struct Answer {
    is_there: Arc<AtomicBool>,
    asker: thread::Thread,
}

impl Answer {
    fn give(&self) {
        self.is_there.store(true, SeqCst);
        self.asker.unpark();
    }

    fn wait(&self) {
        while !self.is_there.swap(false, SeqCst) {
            thread::park();
        }
    }
}

/// Asks `count` times in a thread of its own, and returns what half of the
/// answers took at most. `ask` is called with the way to answer.
fn asking(
    count: usize,
    ask: impl Fn(&Answer) + Send + 'static,
    stop: impl FnOnce() + Send + 'static,
) -> Asking {
    Asking(thread::spawn(move || {
        let answer = Answer { is_there: Arc::new(AtomicBool::new(false)), asker: thread::current() };
        let mut took: Vec<f64> = Vec::with_capacity(count);
        for _ in 0..count {
            let begun = Instant::now();
            ask(&answer);
            answer.wait();
            took.push(begun.elapsed().as_nanos() as f64);
        }
        stop();
        median(took.into_iter())
    }))
}

struct Asking(thread::JoinHandle<f64>);

impl Asking {
    fn median(self) -> f64 {
        self.0.join().expect("doesn't panic")
    }
}

/// Compares a call to a sleeping loop and the answer.
pub(crate) fn round_trip(case: &mut Case<'_>) {
    case.name("thread -> sleeping loop -> thread, p50");
    let count = case.scaled(2_000);
    case.add("bare epoll + eventfd", || {
        move || {
            let bell = Arc::new(Doorbell::new());
            let question: Arc<std::sync::Mutex<Option<Answer>>> = Arc::default();
            let stopped = Arc::new(AtomicBool::new(false));
            let asking = asking(
                count,
                {
                    let (bell, question) = (Arc::clone(&bell), Arc::clone(&question));
                    move |answer| {
                        *question.lock().expect("isn't poisoned") = Some(answer.clone());
                        bell.ring();
                    }
                },
                {
                    let (bell, stopped) = (Arc::clone(&bell), Arc::clone(&stopped));
                    move || {
                        stopped.store(true, SeqCst);
                        bell.ring();
                    }
                },
            );
            while !stopped.load(SeqCst) {
                bell.wait();
                let asked = question.lock().expect("isn't poisoned").take();
                if let Some(answer) = asked {
                    answer.give();
                }
            }
            asking.median()
        }
    });
    case.add("tokio mpsc unbounded", || {
        let runtime = tokio_runtime();
        move || {
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Answer>();
            let ask = move |answer: &Answer| sender.send(answer.clone()).expect("is open");
            let asking = asking(count, ask, || ());
            runtime.block_on(async {
                while let Some(answer) = receiver.recv().await {
                    answer.give();
                }
            });
            asking.median()
        }
    });
    case.add("rondel", || {
        let event_loop = EventLoop::new().expect("opens");
        move || {
            let remote = event_loop.remote();
            let stop = event_loop.remote();
            let ask = move |answer: &Answer| {
                let answer = answer.clone();
                remote.call_soon_threadsafe(move |_| answer.give()).expect("has room");
            };
            let asking = asking(count, ask, move || stop.stop());
            event_loop.run_forever().expect("is open");
            asking.median()
        }
    });
    case.goal_times("rondel", 1.10, "bare epoll + eventfd");
}
