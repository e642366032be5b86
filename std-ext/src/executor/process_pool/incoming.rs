//! What a worker says, put together from the parts in which it comes.

use super::error::ProcessJobError;
use super::frame::{ANSWER_HEAD, AnswerHead, AnswerKind, HELLO};

/// What was received of a hello or an answer.
#[derive(Default)]
pub(super) struct Incoming {
    head: Vec<u8>,
    answer: Option<AnswerHead>,
    /// Invariant: at most as long as the answer says, and only as long as what has come.
    body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) kind: AnswerKind,
    pub(super) body: Vec<u8>,
    /// Tells that nothing came behind it.
    pub(super) is_last: bool,
}

impl Incoming {
    /// Takes in a part of a hello; tells whether it is complete, and `None` if it is none.
    pub(super) fn hello(&mut self, bytes: &[u8]) -> Option<bool> {
        self.head.extend_from_slice(&bytes[..bytes.len().min(HELLO.len() + 1)]);
        HELLO.starts_with(&self.head).then_some(())?;
        let is_complete = self.head.len() == HELLO.len();
        if is_complete {
            self.head.clear();
        }
        Some(is_complete)
    }

    /// Takes in a part of the answer to job `id`; returns it when it is complete.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn answer(
        &mut self,
        mut bytes: &[u8],
        id: u64,
        bytes_max: usize,
    ) -> Result<Option<Answer>, &'static str> {
        let Some(answer) = self.head(&mut bytes)? else { return Ok(None) };
        if answer.id != id {
            return Err("it answered another job");
        }
        let length = usize::try_from(answer.bytes).map_err(|_| TOO_LONG)?;
        // A length alone takes no memory.
        if length > bytes_max.max(LENGTH_BYTES) {
            return Err(TOO_LONG);
        }
        let (body, rest) = bytes.split_at(bytes.len().min(length - self.body.len()));
        self.body.try_reserve(body.len()).map_err(|_| "there is no memory for its answer")?;
        self.body.extend_from_slice(body);
        if self.body.len() < length {
            return Ok(None);
        }
        let body = core::mem::take(&mut self.body);
        (self.answer, self.head) = (None, Vec::new());
        Ok(Some(Answer { kind: answer.kind, body, is_last: rest.is_empty() }))
    }

    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<AnswerHead>, &'static str> {
        if self.answer.is_none() {
            let (head, rest) = bytes.split_at(bytes.len().min(ANSWER_HEAD - self.head.len()));
            self.head.extend_from_slice(head);
            *bytes = rest;
            let Ok(head) = <&[u8; ANSWER_HEAD]>::try_from(&*self.head) else { return Ok(None) };
            self.answer = Some(AnswerHead::decode(head).ok_or("its answer is of no kind")?);
        }
        Ok(self.answer)
    }
}

const TOO_LONG: &str = "its answer is longer than it may be";

/// Is the length of the number that stands for a result that is too large.
const LENGTH_BYTES: usize = 8;

impl AnswerKind {
    /// Returns what an answer of this kind means.
    pub(super) fn into_result(
        self,
        body: Vec<u8>,
        function: &str,
        limit: usize,
    ) -> Result<Vec<u8>, ProcessJobError> {
        let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
        Err(match self {
            Self::Value => return Ok(body),
            Self::Failed => ProcessJobError::Failed(text(body)),
            Self::Panicked => ProcessJobError::Panicked(text(body)),
            Self::Unknown => ProcessJobError::UnknownFunction(function.into()),
            Self::TooLarge => match <[u8; LENGTH_BYTES]>::try_from(body) {
                Ok(bytes) => ProcessJobError::ResultTooLarge { bytes: u64::from_le_bytes(bytes), limit },
                Err(_) => ProcessJobError::Garbled("its answer has no length"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: u64, kind: AnswerKind, body: &[u8]) -> Vec<u8> {
        let head = AnswerHead { id, kind, bytes: body.len() as u64 };
        [&head.encode(), body].concat()
    }

    #[test]
    fn an_answer_may_come_in_any_parts() {
        let whole = answer(7, AnswerKind::Value, b"result");
        for part in 1..=whole.len() {
            let mut incoming = Incoming::default();
            let answers: Vec<_> =
                whole.chunks(part).filter_map(|part| incoming.answer(part, 7, 6).unwrap()).collect();
            assert_eq!(answers.len(), 1);
            assert!(answers[0].body == b"result" && answers[0].is_last);
        }
    }

    #[test]
    fn a_hello_may_come_in_any_parts_and_nothing_else_is_one() {
        for part in 1..HELLO.len() {
            let mut incoming = Incoming::default();
            let (first, second) = HELLO.split_at(part);
            assert_eq!((incoming.hello(first), incoming.hello(second)), (Some(false), Some(true)));
        }
        let longer = [&HELLO[..], b"!"].concat();
        for no_hello in [&b"Usage: program"[..], &longer, &[0; 100]] {
            assert_eq!(Incoming::default().hello(no_hello), None);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_takes_no_memory() {
        let too_long = AnswerHead { id: 7, kind: AnswerKind::Value, bytes: u64::MAX }.encode();
        let of_another = answer(8, AnswerKind::Value, b"");
        let no_kind = [7; ANSWER_HEAD];
        for wrong in [&too_long[..], &of_another, &no_kind] {
            let mut incoming = Incoming::default();
            incoming.answer(wrong, 7, 1 << 30).unwrap_err();
            assert_eq!(incoming.body.capacity(), 0);
        }
        let without_length = AnswerKind::TooLarge.into_result(vec![1], "f", 0);
        assert!(matches!(without_length, Err(ProcessJobError::Garbled(_))));
    }

    #[test]
    fn what_follows_an_answer_is_noticed() {
        let mut more = answer(7, AnswerKind::Value, b"");
        more.push(1);
        assert!(!Incoming::default().answer(&more, 7, 0).unwrap().unwrap().is_last);
    }
}
