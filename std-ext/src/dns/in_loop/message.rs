//! DNS messages: a question, and what of an answer answers it.

use core::net::IpAddr;
use core::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use crate::dns::EaiError;

/// Is the most aliases that are followed within a message, and from message to message.
pub(super) const ALIASES_MAX: usize = 8;

/// Is the longest time for which an answer is kept, whatever its server says.
const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    A,
    Aaaa,
    Ptr,
}

impl Kind {
    const fn code(self) -> TYPE {
        match self {
            Self::A => TYPE::A,
            Self::Aaaa => TYPE::AAAA,
            Self::Ptr => TYPE::PTR,
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Records {
    /// Is the name at the end of the aliases.
    pub(super) name: String,
    pub(super) addrs: Vec<IpAddr>,
    /// Is the name that an address points to.
    pub(super) pointer: Option<String>,
    /// Is for how long it holds.
    pub(super) ttl: Duration,
}

impl Records {
    /// Makes what stands for `name` before anything was found.
    pub(super) fn of(name: &str) -> Self {
        let name = name.strip_suffix('.').unwrap_or(name).to_owned();
        Self { name, addrs: Vec::new(), pointer: None, ttl: TTL_MAX }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addrs.is_empty() && self.pointer.is_none()
    }

    pub(super) fn join(&mut self, other: Self) {
        self.addrs.extend(other.addrs);
        self.pointer = self.pointer.take().or(other.pointer);
        self.name = other.name;
        self.ttl = self.ttl.min(other.ttl);
    }
}

/// How a message answers a question.
#[derive(Debug)]
pub(super) enum Reply {
    /// It doesn't: another's, or garbage.
    Stranger,
    /// In part; the whole is to be had by TCP.
    Truncated,
    /// The records; none if the name has others only.
    Found(Records),
    /// The name is an alias of this one, about which it says nothing.
    Alias(String),
    /// There is no such name.
    NoName,
    /// The server can't or won't.
    Failed(EaiError),
}

/// Writes a question.
///
/// # Errors
/// `NoName` for what can't be a name.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Result<Vec<u8>, EaiError> {
    let name = Name::new(name).map_err(|_| EaiError::NoName)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind.code()), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().map_err(|_| EaiError::Fail)
}

/// Reads what came as the answer to a question.
pub(super) fn reply(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Reply {
    // A truncated message may end within a record, so its head is looked at first.
    let head = simple_dns::header_buffer::id(bytes);
    if head != Ok(id) || bytes.len() < 12 {
        return Reply::Stranger;
    }
    if simple_dns::header_buffer::has_flags(bytes, PacketFlag::RESPONSE | PacketFlag::TRUNCATION) == Ok(true)
    {
        return Reply::Truncated;
    }
    let (Ok(packet), Ok(name)) = (Packet::parse(bytes), Name::new(name)) else { return Reply::Stranger };
    let is_asked =
        |question: &Question<'_>| question.qname == name && question.qtype == QTYPE::TYPE(kind.code());
    let is_reply = packet.has_flags(PacketFlag::RESPONSE);
    // Some servers leave the question out of a refusal.
    let is_bare = packet.questions.is_empty() && packet.rcode() != RCODE::NoError;
    if !is_reply || !(is_bare || matches!(&packet.questions[..], [question] if is_asked(question))) {
        return Reply::Stranger;
    }
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        RCODE::ServerFailure => return Reply::Failed(EaiError::Again),
        _ => return Reply::Failed(EaiError::Fail),
    }
    records(&packet, name, kind)
}

/// Follows the aliases to the records.
fn records(packet: &Packet<'_>, name: Name<'_>, kind: Kind) -> Reply {
    let mut records = Records::of(&name.to_string());
    let mut owner = name;
    let mut ttl = TTL_MAX;
    let mut lower = |record: &ResourceRecord<'_>| ttl = ttl.min(Duration::from_secs(record.ttl.into()));
    let of =
        |owner: &Name<'_>, record: &&ResourceRecord<'_>| record.name == *owner && record.class == CLASS::IN;
    let mut aliases = 0;
    while let Some((record, target)) =
        packet.answers.iter().filter(|record| of(&owner, record)).find_map(alias)
    {
        aliases += 1;
        if aliases > ALIASES_MAX {
            return Reply::Failed(EaiError::Fail);
        }
        lower(record);
        owner = target.clone();
    }
    for record in packet.answers.iter().filter(|record| of(&owner, record)) {
        match (kind, &record.rdata) {
            (Kind::A, RData::A(a)) => records.addrs.push(IpAddr::V4(a.address.into())),
            (Kind::Aaaa, RData::AAAA(aaaa)) => records.addrs.push(IpAddr::V6(aaaa.address.into())),
            (Kind::Ptr, RData::PTR(pointer)) => {
                records.pointer.get_or_insert_with(|| pointer.0.to_string());
            }
            _ => continue,
        }
        lower(record);
    }
    records.name = owner.to_string();
    records.ttl = ttl;
    if packet.rcode() == RCODE::NameError {
        return Reply::NoName;
    }
    if records.is_empty() && aliases > 0 {
        return Reply::Alias(records.name);
    }
    Reply::Found(records)
}

fn alias<'a, 'b>(record: &'a ResourceRecord<'b>) -> Option<(&'a ResourceRecord<'b>, &'a Name<'b>)> {
    match &record.rdata {
        RData::CNAME(target) => Some((record, &target.0)),
        _ => None,
    }
}
