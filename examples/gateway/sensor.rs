//! The sensor: a child process whose lines are read through a pipe.

use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

use rondel::{EventLoopHandle, Stdio, Task};
use serde_json::{Value, json};

use crate::figures::Figures;
use crate::options::Sensor;
use crate::output::say;

/// Is the longest line of a sensor, in bytes.
const LINE_MAX: usize = 256;

/// Is how long a sensor that has ended rests: at first, and at the longest.
const RESTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Is how often the simulated sensor measures.
const PERIOD: Duration = Duration::from_millis(250);

/// What the sensor said last, and how it is.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    celsius: Option<f64>,
    state: String,
}

impl Default for Reading {
    fn default() -> Self {
        Self { celsius: None, state: "not there".into() }
    }
}

impl Reading {
    /// Tells whether there is a temperature.
    pub(crate) fn is_known(&self) -> bool {
        self.celsius.is_some()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "value": self.celsius, "state": self.state })
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.celsius {
            Some(celsius) => write!(f, "{celsius:.2} °C ({})", self.state),
            None => f.write_str(&self.state),
        }
    }
}

/// Keeps the sensor running.
pub(crate) struct Keeper {
    event_loop: EventLoopHandle,
    sensor: Sensor,
    figures: Rc<Figures>,
    task: RefCell<Option<Task<rondel::Result<()>>>>,
}

impl Keeper {
    pub(crate) fn new(event_loop: &EventLoopHandle, sensor: &Sensor, figures: &Rc<Figures>) -> Self {
        let (sensor, figures) = (sensor.clone(), Rc::clone(figures));
        Self { event_loop: event_loop.clone(), sensor, figures, task: RefCell::default() }
    }

    /// Starts the sensor, if there is to be one; one that runs is ended.
    pub(crate) fn start(&self) -> rondel::Result<()> {
        if let Some(former) = self.task.take() {
            former.cancel();
        }
        let command = match &self.sensor {
            Sensor::None => return Ok(()),
            Sensor::Simulated => None,
            Sensor::Command(command) => Some(command.clone()),
        };
        let task =
            self.event_loop.create_task(watch(self.event_loop.clone(), command, Rc::clone(&self.figures)))?;
        task.set_name("sensor");
        self.task.replace(Some(task));
        Ok(())
    }
}

/// Keeps a sensor running for as long as the task does: one that ends is started again, later and
/// later if it never says anything.
async fn watch(
    event_loop: EventLoopHandle,
    command: Option<String>,
    figures: Rc<Figures>,
) -> rondel::Result<()> {
    let mut rest = RESTS.0;
    loop {
        let ended = match read(&event_loop, command.as_deref(), &figures).await {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => error.to_string(),
        };
        rest = if figures.has_reading() { RESTS.0 } else { (rest * 2).min(RESTS.1) };
        say!("the sensor is gone: {ended}; the next one starts in {rest:?}");
        figures.set_reading(Reading { celsius: None, state: ended });
        event_loop.sleep(rest).await?;
    }
}

/// Starts the sensor and reads it to its end; says how it ended.
async fn read(
    event_loop: &EventLoopHandle,
    command: Option<&str>,
    figures: &Figures,
) -> rondel::Result<String> {
    let mut child = match command {
        Some(command) => event_loop.create_subprocess_shell(command),
        None => event_loop.create_subprocess_exec(simulator()?).arg(SIMULATE),
    }
    .stdin(Stdio::null())
    .stdout(Stdio::pipe())
    .limit(LINE_MAX)
    .kill_on_drop(true)
    .await?;
    let state = format!("process {}", child.pid());
    let mut lines = child.stdout.take().ok_or("the sensor has no pipe")?;
    while let line @ [_, ..] = lines.read_line().await? {
        match core::str::from_utf8(line).unwrap_or_default().trim().parse() {
            Ok(celsius) => figures.set_reading(Reading { celsius: Some(celsius), state: state.clone() }),
            Err(_) => say!("the sensor says nonsense: {:?}", String::from_utf8_lossy(line)),
        }
    }
    Ok(child.wait().await?.to_string())
}

/// Is the argument that makes this program a sensor.
pub(crate) const SIMULATE: &str = "--simulate-sensor";

fn simulator() -> rondel::Result<PathBuf> {
    std::env::current_exe().map_err(rondel::Error::from)
}

/// Is a sensor: prints a temperature a few times a second, until nobody reads.
pub(crate) fn simulate() {
    let mut out = std::io::stdout();
    for tick in 0_u32.. {
        let hours = f64::from(tick) * PERIOD.as_secs_f64() / 20.0;
        let celsius = 21.0 + 3.0 * hours.sin() + 0.2 * (hours * 17.0).sin();
        if writeln!(out, "{celsius:.3}").and_then(|()| out.flush()).is_err() {
            return;
        }
        std::thread::sleep(PERIOD);
    }
}
