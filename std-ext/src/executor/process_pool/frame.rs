//! What pool and worker say to each other.
//!
//! ```text
//! worker: HELLO
//! pool:   id 8 | function's length 8 | arguments' length 8 | longest answer 8 | function | arguments
//! worker: id 8 | kind 8              | length 8            | answer
//! ```
//!
//! Numbers are little-endian. One request is answered before the next is sent. The worker is trusted
//! as little as any peer: a wrong byte is an error and no more.

/// Is what a worker says first; the last byte is the version.
pub(super) const HELLO: [u8; 16] = *b"rondel worker \0\x01";

/// Is the length of a request's head in bytes.
pub(super) const REQUEST_HEAD: usize = 32;

/// Is the length of an answer's head in bytes.
pub(super) const ANSWER_HEAD: usize = 24;

/// What stands before the function's name and its arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RequestHead {
    pub(super) id: u64,
    pub(super) function_bytes: u64,
    pub(super) arguments_bytes: u64,
    pub(super) answer_bytes_max: u64,
}

impl RequestHead {
    pub(super) fn encode(self) -> [u8; REQUEST_HEAD] {
        encode([self.id, self.function_bytes, self.arguments_bytes, self.answer_bytes_max])
    }

    pub(super) fn decode(head: &[u8; REQUEST_HEAD]) -> Self {
        let [id, function_bytes, arguments_bytes, answer_bytes_max] = decode(head);
        Self { id, function_bytes, arguments_bytes, answer_bytes_max }
    }
}

/// What an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AnswerKind {
    /// The result.
    Value,
    /// The function's error, as text.
    Failed,
    /// The message of its panic.
    Panicked,
    /// The worker has no such function.
    Unknown,
    /// The result is too long; its length follows, as a number of 8 bytes.
    TooLarge,
}

impl AnswerKind {
    const ALL: [Self; 5] = [Self::Value, Self::Failed, Self::Panicked, Self::Unknown, Self::TooLarge];
}

/// What stands before an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AnswerHead {
    pub(super) id: u64,
    pub(super) kind: AnswerKind,
    pub(super) bytes: u64,
}

impl AnswerHead {
    pub(super) fn encode(self) -> [u8; ANSWER_HEAD] {
        encode([self.id, self.kind as u64, self.bytes])
    }

    /// Returns `None` for a kind that isn't one.
    pub(super) fn decode(head: &[u8; ANSWER_HEAD]) -> Option<Self> {
        let [id, kind, bytes] = decode(head);
        let kind = AnswerKind::ALL.into_iter().find(|&known| known as u64 == kind)?;
        Some(Self { id, kind, bytes })
    }
}

fn encode<const WORDS: usize, const BYTES: usize>(words: [u64; WORDS]) -> [u8; BYTES] {
    const { assert!(WORDS * 8 == BYTES) };
    let mut bytes = [0; BYTES];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn decode<const WORDS: usize, const BYTES: usize>(bytes: &[u8; BYTES]) -> [u64; WORDS] {
    const { assert!(WORDS * 8 == BYTES) };
    let mut words = [0; WORDS];
    for (word, place) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*place);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_were_written() {
        let request =
            RequestHead { id: 1, function_bytes: 2, arguments_bytes: 3, answer_bytes_max: u64::MAX };
        assert_eq!(RequestHead::decode(&request.encode()), request);
        for kind in AnswerKind::ALL {
            let answer = AnswerHead { id: 7, kind, bytes: 1 << 40 };
            assert_eq!(AnswerHead::decode(&answer.encode()), Some(answer));
        }
        let mut unknown = AnswerHead { id: 7, kind: AnswerKind::Value, bytes: 0 }.encode();
        unknown[15] = 1;
        assert_eq!(AnswerHead::decode(&unknown), None);
    }
}
