//! Further loops, each in a thread of its own, that share the port of the first.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rondel::{EventLoop, EventLoopHandle, Future, Remote};

use crate::client;
use crate::figures::{Figures, Totals};
use crate::options::Options;
use crate::output::say;

/// The loops beside the first: the kernel spreads clients over all of them.
pub(crate) struct Fleet {
    others: Vec<(Remote, JoinHandle<()>)>,
}

impl Fleet {
    /// Starts the loops; returns when all of them listen.
    pub(crate) fn start(
        event_loop: &EventLoopHandle,
        options: &Options,
        totals: &Arc<Totals>,
        stop: &Future<()>,
    ) -> rondel::Result<Self> {
        let mut others = Vec::new();
        for _ in 1..options.loops {
            let (started, starts) = channel();
            let member = Member {
                options: options.clone(),
                totals: Arc::clone(totals),
                first: event_loop.remote(),
                started,
            };
            let thread = std::thread::spawn(move || member.run());
            let remote = match starts.recv() {
                Ok(started) => started?,
                Err(error) => return Err(rondel::Error::new(error)),
            };
            others.push((remote, thread));
        }
        STOP.with(|place| place.replace(Some(stop.clone())));
        Ok(Self { others })
    }

    /// Has the loops end, and let their clients end.
    pub(crate) fn stop(&self) {
        for (remote, _) in &self.others {
            // Refused only by a loop that has ended already.
            let _ = remote.call_soon_threadsafe(|event_loop| event_loop.stop());
        }
    }

    /// Waits for their threads.
    pub(crate) fn join(self) {
        for (_, thread) in self.others {
            let _ = thread.join();
        }
    }
}

thread_local! {
    /// Is what ends the gateway, in the thread of its first loop.
    static STOP: core::cell::RefCell<Option<Future<()>>> = const { core::cell::RefCell::new(None) };
}

/// One of the loops, before it runs.
struct Member {
    options: Options,
    totals: Arc<Totals>,
    first: Remote,
    started: Sender<Result<Remote, String>>,
}

impl Member {
    fn run(self) {
        let Self { options, totals, first, started } = self;
        let ran = (|| {
            let event_loop = EventLoop::new()?;
            let figures = Rc::new(Figures::new(&event_loop, totals));
            let stop = event_loop.create_future::<()>()?;
            let _server =
                event_loop.run_until_complete(client::listen(&event_loop, &options, &figures, &stop))?;
            let with_tls = options.tls.map(|addr| {
                event_loop.run_until_complete(client::listen_tls(
                    &event_loop,
                    addr,
                    &options,
                    &figures,
                    &stop,
                ))
            });
            let _tls = with_tls.transpose()?;
            stop.add_done_callback(move |_, _| {
                let _ = first.call_soon_threadsafe(|_| {
                    if let Some(stop) = STOP.take() {
                        let _ = stop.set_result(());
                    }
                });
            })?;
            let _ = started.send(Ok(event_loop.remote()));
            event_loop.run_forever()?;
            say!("a further loop: {}", event_loop.close_within(options.grace)?);
            Ok::<(), rondel::Error>(())
        })();
        if let Err(error) = ran {
            let _ = started.send(Err(error.to_string()));
        }
    }
}
