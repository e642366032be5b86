//! Tasks: polled again and again, and made and dropped.

use rondel::EventLoop;
use rondel_core::Storage;

use crate::bare_core::NoOutside;
use crate::calls::tokio_runtime;
use crate::case::{Case, ns_each};

const TASKS: usize = 1_000;

/// Compares 1,000 tasks that yield and are polled again.
pub(crate) fn yields(case: &mut Case<'_>) {
    case.name("a task yields, 1,000 tasks a turn");
    let turns = case.scaled(200);
    let count = turns * TASKS;
    case.add("tokio yield_now", || {
        let runtime = tokio_runtime();
        move || {
            ns_each(count, || {
                runtime.block_on(async {
                    let mut last = None;
                    for _ in 0..TASKS {
                        last = Some(tokio::spawn(async move {
                            for _ in 0..turns {
                                tokio::task::yield_now().await;
                            }
                        }));
                    }
                    if let Some(last) = last {
                        last.await.expect("doesn't panic");
                    }
                });
            })
        }
    });
    case.add("rondel-core", || {
        static STORAGE: Storage<8, 0, 1024, 128> = Storage::new();
        let event_loop = rondel_core::EventLoop::new(STORAGE.take().expect("taken once"), &NoOutside);
        move || {
            ns_each(count, || {
                for _ in 0..TASKS {
                    let handle = event_loop.handle();
                    let task = event_loop.create_task(async move {
                        for _ in 0..turns {
                            handle.yield_now().await.expect("is not cancelled");
                        }
                    });
                    drop(task.expect("has room"));
                }
                for _ in 0..=turns {
                    event_loop.run_once().expect("is open");
                }
            })
        }
    });
    case.add("rondel", || {
        let event_loop = EventLoop::new().expect("opens");
        move || {
            ns_each(count, || {
                for _ in 0..TASKS {
                    let handle = event_loop.handle();
                    let task = event_loop.create_task(async move {
                        for _ in 0..turns {
                            handle.yield_now().await.expect("is not cancelled");
                        }
                    });
                    drop(task.expect("has room"));
                }
                for _ in 0..=turns {
                    event_loop.run_once().expect("is open");
                }
            })
        }
    });
    case.goal_times("rondel-core", 40.0 / 470.0, "tokio yield_now");
    case.goal_times("rondel", 40.0 / 470.0, "tokio yield_now");
}

/// Compares tasks that are made, run once and dropped, 1,000 a turn.
pub(crate) fn create(case: &mut Case<'_>) {
    case.name("a task is made, runs and ends");
    let turns = case.scaled(200);
    let count = turns * TASKS;
    case.add("tokio spawn", || {
        let runtime = tokio_runtime();
        move || {
            ns_each(count, || {
                runtime.block_on(async {
                    for _ in 0..turns {
                        let mut last = None;
                        for number in 0..TASKS {
                            last = Some(tokio::spawn(async move { core::hint::black_box(number) }));
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
        static STORAGE: Storage<8, 0, 1024, 128> = Storage::new();
        let event_loop = rondel_core::EventLoop::new(STORAGE.take().expect("taken once"), &NoOutside);
        move || {
            ns_each(count, || {
                for _ in 0..turns {
                    for number in 0..TASKS {
                        let task = event_loop.create_task(async move { core::hint::black_box(number) });
                        drop(task.expect("has room"));
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
                    for number in 0..TASKS {
                        let task = event_loop.create_task(async move { core::hint::black_box(number) });
                        drop(task.expect("has room"));
                    }
                    event_loop.run_once().expect("is open");
                }
            })
        }
    });
    case.goal_times("rondel-core", 60.0 / 400.0, "tokio spawn");
    case.goal_times("rondel", 60.0 / 400.0, "tokio spawn");
}
