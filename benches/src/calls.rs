//! Callbacks: many in one turn, and one after the other.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::collections::VecDeque;

use rondel::{Config, EventLoop, EventLoopHandle};
use rondel_core::Storage;

use crate::bare::Ring;
use crate::bare_core::NoOutside;
use crate::case::{Case, ns_each};

const BURST: usize = 1_000;

/// Is what the callbacks do: too little to count, too much to be left out.
static SUM: AtomicU64 = AtomicU64::new(0);

fn work(number: u64) {
    SUM.store(SUM.load(Relaxed).wrapping_add(number), Relaxed);
}

/// Compares 1,000 callbacks a turn.
pub(crate) fn burst(case: &mut Case<'_>) {
    case.name("burst of 1,000 calls a turn");
    let turns = case.scaled(1_000);
    let count = turns * BURST;
    case.add("bare ring of closures", || {
        let mut ring = Ring::new(1024);
        move || {
            ns_each(count, || {
                for _ in 0..turns {
                    for number in 0..BURST as u64 {
                        ring.push([number, 0, 0], |captures| work(captures[0]));
                    }
                    ring.run();
                }
            })
        }
    });
    case.add("VecDeque<Box<dyn FnOnce()>>", || {
        let mut queue: VecDeque<Box<dyn FnOnce()>> = VecDeque::new();
        move || {
            ns_each(count, || {
                for _ in 0..turns {
                    for number in 0..BURST as u64 {
                        queue.push_back(Box::new(move || work(number)));
                    }
                    while let Some(call) = queue.pop_front() {
                        call();
                    }
                }
            })
        }
    });
    case.add("tokio spawn", || {
        let runtime = tokio_runtime();
        move || {
            ns_each(count, || {
                runtime.block_on(async {
                    for _ in 0..turns {
                        let mut last = None;
                        for number in 0..BURST as u64 {
                            last = Some(tokio::spawn(async move { work(number) }));
                        }
                        if let Some(last) = last {
                            last.await.expect("doesn't panic");
                        }
                    }
                });
            })
        }
    });
    case.add("rondel-core", || {
        static STORAGE: Storage<2048, 0, 0, 0> = Storage::new();
        let event_loop = rondel_core::EventLoop::new(STORAGE.take().expect("taken once"), &NoOutside);
        move || {
            ns_each(count, || {
                for _ in 0..turns {
                    for number in 0..BURST as u64 {
                        event_loop.call_soon(move |_| work(number)).expect("has room");
                    }
                    event_loop.run_once().expect("is open");
                }
            })
        }
    });
    case.add("rondel", || {
        let event_loop = EventLoop::new().expect("opens");
        move || {
            ns_each(count, || {
                for _ in 0..turns {
                    for number in 0..BURST as u64 {
                        event_loop.call_soon(move |_| work(number)).expect("has room");
                    }
                    event_loop.run_once().expect("is open");
                }
            })
        }
    });
    case.goal_times("rondel-core", 1.2, "bare ring of closures");
    case.goal_times("rondel", 1.5, "bare ring of closures");
    case.goal_times("rondel", 0.05, "tokio spawn");
}

/// Compares callbacks that each schedule the next, with a look at the outside
/// in between.
pub(crate) fn chain(case: &mut Case<'_>) {
    case.name("chain of calls, I/O each turn");
    let count = case.scaled(20_000);
    case.add("bare mio poll(0)", || {
        let mut poll = mio::Poll::new().expect("opens");
        let mut events = mio::Events::with_capacity(256);
        move || {
            ns_each(count, || {
                for _ in 0..count {
                    poll.poll(&mut events, Some(Duration::ZERO)).expect("polls");
                }
            })
        }
    });
    case.add("tokio spawn", || tokio_chain(count));
    case.add("rondel", || rondel_chain(count, 1));
    case.goal_times("rondel", 1.05, "bare mio poll(0)");
}

/// Compares the same with a look at the outside every 61 turns, as tokio has it.
pub(crate) fn chain_unpolled(case: &mut Case<'_>) {
    case.name("chain of calls, I/O every 61 turns");
    let count = case.scaled(100_000);
    case.add("tokio spawn", || tokio_chain(count));
    case.add("rondel", || rondel_chain(count, 61));
    case.goal_times("rondel", 30.0 / 392.0, "tokio spawn");
}

fn rondel_chain(count: usize, turns_per_poll: u32) -> impl FnMut() -> f64 {
    thread_local!(static LEFT: Cell<usize> = const { Cell::new(0) });
    fn next(event_loop: &EventLoopHandle) {
        let left = LEFT.get();
        LEFT.set(left - 1);
        if left == 1 {
            event_loop.stop();
        } else {
            event_loop.call_soon(next).expect("has room");
        }
    }
    let config = Config { turns_per_poll, ..Config::default() };
    let event_loop = EventLoop::with_config(config).expect("opens");
    move || {
        LEFT.set(count);
        ns_each(count, || {
            event_loop.call_soon(next).expect("has room");
            event_loop.run_forever().expect("is open");
        })
    }
}

fn tokio_chain(count: usize) -> impl FnMut() -> f64 {
    fn next(left: usize, done: tokio::sync::oneshot::Sender<()>) {
        tokio::spawn(async move {
            if left == 1 {
                let _ = done.send(());
            } else {
                next(left - 1, done);
            }
        });
    }
    let runtime = tokio_runtime();
    move || {
        ns_each(count, || {
            runtime.block_on(async {
                let (done, is_done) = tokio::sync::oneshot::channel();
                next(count, done);
                is_done.await.expect("is sent");
            });
        })
    }
}

/// Makes tokio's single-threaded runtime.
pub(crate) fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("opens")
}
