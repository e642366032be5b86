//! What can be the name of a host, decided before a resolver is asked.

use crate::dns::HostNameError;

/// Is the most bytes of a name (RFC 1035: 255 in the message, with the lengths of its labels).
const NAME_BYTES_MAX: usize = 253;

/// Is the most bytes between two dots.
const LABEL_BYTES_MAX: usize = 63;

/// Checks a name that is no literal address. What a resolver reads as an address in an odd form, such
/// as `127.1`, passes; so does an IPv6 address with a zone.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(name: &str) -> Result<(), HostNameError> {
    if name.contains('\0') {
        return Err(HostNameError::Nul);
    }
    if !name.is_ascii() {
        return Err(HostNameError::NotAscii);
    }
    let relative = name.strip_suffix('.').unwrap_or(name);
    if relative.is_empty() {
        return Err(HostNameError::Empty);
    }
    if relative.len() > NAME_BYTES_MAX {
        return Err(HostNameError::TooLong { length: name.len() });
    }
    if relative.contains([':', '%']) {
        return Ok(());
    }
    for label in relative.split('.') {
        match label.len() {
            0 => return Err(HostNameError::EmptyLabel),
            1..=LABEL_BYTES_MAX => {}
            length => return Err(HostNameError::LabelTooLong { length }),
        }
    }
    Ok(())
}
