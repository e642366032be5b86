//! The worker's side: answers one request after the other.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::frame::{AnswerHead, AnswerKind, HELLO, REQUEST_HEAD, RequestHead};
use crate::Result;
use crate::exception::PanicMessage;
use crate::sys::worker::{self, Channel};

/// A function that runs in a worker process: bytes in, bytes out.
pub type WorkerFunction = fn(&[u8]) -> Result<Vec<u8>>;

/// Makes a worker of this process if a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor) has
/// started it as one, and then never returns; in any other process it returns at once.
///
/// It belongs at the start of `main`, before threads are started and loops made. `functions` are those
/// that [`submit`](crate::ProcessPoolExecutor::submit) can name.
///
/// ```no_run
/// fn sum(numbers: &[u8]) -> rondel::Result<Vec<u8>> {
///     let sum: u64 = numbers.iter().copied().map(u64::from).sum();
///     Ok(sum.to_le_bytes().into())
/// }
///
/// fn main() -> rondel::Result<()> {
///     rondel::process_worker(&[("sum", sum)]);
///     rondel::run(async |event_loop| {
///         let pool = rondel::ProcessPoolExecutor::new(&event_loop, Default::default());
///         let sum = pool.submit("sum", [1, 2, 3]).await?;
///         assert_eq!(sum, 6_u64.to_le_bytes());
///         pool.shutdown_and_wait().await
///     })
/// }
/// ```
///
/// A worker ends with status 0 when its pool lets go of it, and is killed when the thread of the loop
/// ends. It has the environment, the standard output and the standard error of the process that started
/// it, an empty standard input, a process group of its own, and no other descriptor.
///
/// # Python
/// `if __name__ == "__main__":`, with the start method `spawn`: functions are registered, not pickled.
pub fn process_worker(functions: &[(&str, WorkerFunction)]) {
    if let Some(mut channel) = Channel::inherited() {
        if channel.write(&HELLO) {
            while answer_next(&mut channel, functions).is_some() {}
        }
        worker::exit()
    }
}

/// Answers one request; `None` if the pool is gone.
fn answer_next(channel: &mut Channel, functions: &[(&str, WorkerFunction)]) -> Option<()> {
    let mut head = [0; REQUEST_HEAD];
    channel.read(&mut head).then_some(())?;
    let head = RequestHead::decode(&head);
    let name = read(channel, head.function_bytes)?;
    let arguments = read(channel, head.arguments_bytes)?;
    let function = functions.iter().find(|(known, _)| known.as_bytes() == name);
    let (mut kind, mut answer) = match function {
        Some((_, function)) => call(*function, &arguments),
        None => (AnswerKind::Unknown, Vec::new()),
    };
    let bytes = answer.len() as u64;
    if bytes > head.answer_bytes_max {
        match kind {
            AnswerKind::Value => (kind, answer) = (AnswerKind::TooLarge, bytes.to_le_bytes().into()),
            // Text, of which the begin says most.
            _ => answer.truncate(head.answer_bytes_max as usize),
        }
    }
    let head = AnswerHead { id: head.id, kind, bytes: answer.len() as u64 };
    (channel.write(&head.encode()) && channel.write(&answer)).then_some(())
}

/// Reads so many bytes; memory that isn't there ends the worker, and so its job alone.
fn read(channel: &mut Channel, bytes: u64) -> Option<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(bytes).ok()?];
    channel.read(&mut buffer).then_some(buffer)
}

fn call(function: WorkerFunction, arguments: &[u8]) -> (AnswerKind, Vec<u8>) {
    match catch_unwind(AssertUnwindSafe(|| function(arguments).map_err(|error| error.to_string()))) {
        Ok(Ok(value)) => (AnswerKind::Value, value),
        Ok(Err(message)) => (AnswerKind::Failed, message.into_bytes()),
        Err(payload) => (AnswerKind::Panicked, String::from(PanicMessage::of(payload)).into_bytes()),
    }
}
