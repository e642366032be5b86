//! What the signals of a daemon mean, and what its supervisor is told.

use std::rc::Rc;

use rondel::{EventLoopHandle, Future, Notifier, NotifyError, Signal};

use crate::options::Options;
use crate::output::say;
use crate::sensor::Keeper;

/// The signals that stop the gateway.
const STOPPING: [(Signal, &str); 2] = [(Signal::SIGINT, "SIGINT"), (Signal::SIGTERM, "SIGTERM")];

/// Listens to them from now on.
pub(crate) fn heed(
    event_loop: &EventLoopHandle,
    options: &Options,
    sensor: Keeper,
    notifier: &Rc<Notifier>,
    stop: &Future<()>,
) -> rondel::Result<()> {
    for (signal, name) in STOPPING {
        let stop = stop.clone();
        event_loop.add_signal_handler(signal, move |event_loop| {
            say!("got {name}");
            // Somebody else may have said so before.
            let _ = stop.set_result(());
            // Who can't wait sends another one.
            for (signal, _) in STOPPING {
                event_loop.remove_signal_handler(signal);
            }
        })?;
    }
    let (certificate, notifier) = (options.certificate.clone(), Rc::clone(notifier));
    event_loop.add_signal_handler(Signal::SIGHUP, move |_| {
        tell(notifier.reloading());
        match certificate.as_ref().map(|certificate| certificate.reload()) {
            // Those of before go on.
            Some(Err(error)) => say!("the certificate was not read: {error}"),
            Some(Ok(())) => say!("read the certificate anew"),
            None => {}
        }
        sensor.start()?;
        say!("started the sensor anew");
        tell(notifier.ready());
        Ok::<(), rondel::Error>(())
    })?;
    event_loop.dump_on_signal(Signal::SIGUSR1)?;
    Ok(())
}

/// Says that the supervisor was not told something, which is no reason to leave anything else undone.
pub(crate) fn tell(told: Result<(), NotifyError>) {
    if let Err(error) = told {
        say!("{error}");
    }
}
