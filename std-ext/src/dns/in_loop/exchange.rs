//! Asking servers, in turn, until one answers.

use core::net::SocketAddr;

use crate::dns::EaiError;
use crate::sys::SocketKind;
use crate::{Error, ErrorKind, EventLoopHandle, Result};

use super::Asker;
use super::config::NameServers;
use super::message::{self, ALIASES_MAX, Kind, Records, Reply};
use super::socket::Socket;

/// Is the room for a datagram. Without an extension a server sends 512 bytes at most, and says so if
/// that is not all.
const DATAGRAM_BYTES: usize = 1500;

/// A question that waits for its answer.
struct Pending {
    name: String,
    kind: Kind,
    id: u16,
    /// Counts the aliases that were followed to this name.
    aliases: usize,
    answer: Option<Answer>,
}

type Answer = Result<Records, EaiError>;

/// Resolves one name, as it is, to records of some kinds, asked for at the same time.
///
/// # Errors
/// `NoName`, `NoData`, `Again` if no server answered, `Fail` if they refused; `Cancelled`.
pub(super) async fn resolve(
    asker: Asker<'_>,
    config: &NameServers,
    first: usize,
    name: &str,
    kinds: &[Kind],
) -> Result<Records> {
    let pending = |&kind: &Kind| Pending { name: name.to_owned(), kind, id: 0, aliases: 0, answer: None };
    let mut questions: Vec<Pending> = kinds.iter().map(pending).collect();
    let mut failure = EaiError::Again;
    let servers = config.servers.len();
    'attempts: for _ in 0..config.attempts {
        for turn in 0..servers {
            let server = config.servers[first.wrapping_add(turn) % servers];
            if let Err(error) = ask(asker, config, server, &mut questions).await? {
                failure = error;
            }
            if questions.iter().all(|question| question.answer.is_some()) {
                break 'attempts;
            }
        }
    }
    combine(name, questions, failure)
}

/// Joins the answers: addresses count more than errors, and an error of one kind of record is no error
/// of the other.
fn combine(name: &str, questions: Vec<Pending>, failure: EaiError) -> Result<Records> {
    let mut all = Records::of(name);
    let mut error = None;
    for question in questions {
        match question.answer.unwrap_or(Err(failure)) {
            Ok(records) if records.is_empty() => {}
            Ok(records) => all.join(records),
            // That nobody answered says less than that there is no such name.
            Err(other) => error = Some(error.filter(|error| *error != EaiError::NoName).unwrap_or(other)),
        }
    }
    match error {
        _ if !all.is_empty() => Ok(all),
        Some(error) => Err(error.into()),
        None => Err(EaiError::NoData.into()),
    }
}

/// Asks one server all that is open, for as long as it may take.
///
/// # Errors
/// Within, why the server gave no answer; without, what ends the look-up.
async fn ask(
    asker: Asker<'_>,
    config: &NameServers,
    server: SocketAddr,
    questions: &mut [Pending],
) -> Result<Result<(), EaiError>> {
    let answered = asker.event_loop.timeout(config.timeout, exchange(asker, server, questions)).await;
    match answered.map_err(Error::from).and_then(|answered| answered) {
        Ok(refusal) => Ok(refusal),
        // Out of time, or out of reach: the next server may be better.
        Err(error) if error.is_timed_out() || error.kind() == ErrorKind::Io => Ok(Err(EaiError::Again)),
        Err(error) => match error.as_eai() {
            Some(eai) => Ok(Err(eai)),
            None => Err(error),
        },
    }
}

/// Sends all open questions and receives until none is open.
async fn exchange(
    asker: Asker<'_>,
    server: SocketAddr,
    questions: &mut [Pending],
) -> Result<Result<(), EaiError>> {
    let socket = Socket::connect(asker, SocketKind::Datagram, server).await?;
    let mut buffer = [0; DATAGRAM_BYTES];
    let mut refusal = Ok(());
    let mut is_open: Vec<bool> = questions.iter().map(|question| question.answer.is_none()).collect();
    for (question, _) in questions.iter_mut().zip(&is_open).filter(|(_, is_open)| **is_open) {
        send(&socket, question).await?;
    }
    while is_open.contains(&true) {
        let length = socket.receive(&mut buffer).await?;
        let datagram = &buffer[..length.min(DATAGRAM_BYTES)];
        for (question, is_open) in questions.iter_mut().zip(&mut is_open).filter(|(_, is_open)| **is_open) {
            let mut reply = message::reply(datagram, question.id, &question.name, question.kind);
            if matches!(reply, Reply::Truncated) {
                reply = by_stream(asker, server, question).await?;
            }
            match settle(question, reply) {
                Next::Wait => continue,
                Next::Done => *is_open = false,
                Next::Send => send(&socket, question).await?,
                Next::Failed(error) => (*is_open, refusal) = (false, Err(error)),
            }
            break;
        }
    }
    Ok(refusal)
}

/// What follows from a reply.
enum Next {
    Wait,
    Done,
    /// Ask for the name of an alias.
    Send,
    Failed(EaiError),
}

fn settle(question: &mut Pending, reply: Reply) -> Next {
    match reply {
        Reply::Stranger | Reply::Truncated => return Next::Wait,
        Reply::Found(records) => question.answer = Some(Ok(records)),
        Reply::NoName => question.answer = Some(Err(EaiError::NoName)),
        Reply::Failed(error) => return Next::Failed(error),
        Reply::Alias(_) if question.aliases >= ALIASES_MAX => question.answer = Some(Err(EaiError::Fail)),
        // The server knows no address of it: if asked, it would say so again.
        Reply::Alias(name) if name.eq_ignore_ascii_case(&question.name) => {
            question.answer = Some(Ok(Records::of(&name)));
        }
        Reply::Alias(name) => {
            (question.name, question.aliases) = (name, question.aliases + 1);
            return Next::Send;
        }
    }
    Next::Done
}

/// Sends a question, with a new number that nobody can foresee.
async fn send(socket: &Socket<'_>, question: &mut Pending) -> Result<()> {
    question.id = number(socket.event_loop())?;
    let bytes = message::question(question.id, &question.name, question.kind)?;
    socket.send(&bytes).await
}

/// Asks by TCP, for what is too long for a datagram.
async fn by_stream(asker: Asker<'_>, server: SocketAddr, question: &mut Pending) -> Result<Reply> {
    question.id = number(asker.event_loop)?;
    let bytes = message::question(question.id, &question.name, question.kind)?;
    let socket = Socket::connect(asker, SocketKind::Stream, server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| EaiError::Fail)?;
    socket.send(&[&length.to_be_bytes(), &bytes[..]].concat()).await?;
    let mut length = [0; 2];
    receive_exactly(&socket, &mut length).await?;
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    receive_exactly(&socket, &mut bytes).await?;
    match message::reply(&bytes, question.id, &question.name, question.kind) {
        Reply::Stranger | Reply::Truncated => Ok(Reply::Failed(EaiError::Fail)),
        reply => Ok(reply),
    }
}

async fn receive_exactly(socket: &Socket<'_>, buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match socket.receive(&mut buffer[filled..]).await? {
            0 => return Err(EaiError::Again.into()),
            received => filled += received,
        }
    }
    Ok(())
}

fn number(event_loop: &EventLoopHandle) -> Result<u16> {
    let mut bytes = [0; 2];
    event_loop.inner.kernel.entropy(&mut bytes)?;
    Ok(u16::from_ne_bytes(bytes))
}
