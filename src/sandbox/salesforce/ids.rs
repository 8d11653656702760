//! Salesforce ids: 15 characters, case-sensitive, or 18 with a suffix that tells the case.

/// The 18-character form of a 15-character id.
pub(crate) fn with_suffix(id15: &str) -> String {
    let mut id = id15.to_owned();
    for chunk in id15.as_bytes().chunks(5) {
        let bits = chunk
            .iter()
            .enumerate()
            .filter(|(_, b)| b.is_ascii_uppercase())
            .fold(0u8, |n, (i, _)| n | 1 << i);
        id.push(char::from(if bits < 26 { b'A' + bits } else { b'0' + bits - 26 }));
    }
    id
}

/// The id of an org, from a hash of its name: the same in each run.
pub(crate) fn org_id(mut hash: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = "00DHs".to_owned();
    for _ in 0..10 {
        id.push(char::from(DIGITS[usize::try_from(hash % 62).unwrap_or_default()]));
        hash /= 62;
    }
    with_suffix(&id)
}

/// What a text is when it is taken for an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A well-formed id, in its 18-character form.
    Id(String),
    /// It has an id's length and characters, but its suffix cannot belong to it.
    Malformed,
    /// It is no id at all.
    NoId,
}

/// Reads an id of 15 or 18 characters. The suffix restores the case of the letters, so that the long form
/// may come in any case; a suffix that marks a digit as a capital belongs to no id. Ids begin with a digit, those of
/// custom objects with `a` and a digit.
pub(crate) fn parse(text: &str) -> Parsed {
    let bytes = text.as_bytes();
    if !matches!(bytes.len(), 15 | 18)
        || !bytes.iter().all(u8::is_ascii_alphanumeric)
        || !(bytes[0].is_ascii_digit() || matches!(bytes[0], b'a' | b'A') && bytes[1].is_ascii_digit())
    {
        return Parsed::NoId;
    }
    if bytes.len() == 15 {
        return Parsed::Id(with_suffix(text));
    }
    let mut restored = String::with_capacity(18);
    for (chunk, mark) in bytes[..15].chunks(5).zip(&bytes[15..]) {
        let bits = match mark.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'0'..=b'5' => digit - b'0' + 26,
            _ => return Parsed::Malformed,
        };
        for (i, byte) in chunk.iter().enumerate() {
            let capital = bits & 1 << i != 0;
            match (byte.is_ascii_alphabetic(), capital) {
                (true, true) => restored.push(char::from(byte.to_ascii_uppercase())),
                (true, false) => restored.push(char::from(byte.to_ascii_lowercase())),
                (false, true) => return Parsed::Malformed,
                (false, false) => restored.push(char::from(*byte)),
            }
        }
    }
    Parsed::Id(with_suffix(&restored))
}

/// The 18-character form, or the text itself when it is no id.
pub(crate) fn canonical(text: &str) -> String {
    match parse(text) {
        Parsed::Id(id) => id,
        _ => text.to_owned(),
    }
}

/// The id number `n` of objects with that key prefix.
pub(crate) fn generate(prefix: &str, mut n: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut tail = [b'0'; 10];
    for slot in tail.iter_mut().rev() {
        *slot = DIGITS[usize::try_from(n % 62).unwrap_or_default()];
        n /= 62;
    }
    with_suffix(&format!("{prefix}Sb{}", String::from_utf8_lossy(&tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_tells_the_capitals() {
        assert_eq!(with_suffix("003Hs00002AbCdE"), "003Hs00002AbCdEIAV");
        assert_eq!(with_suffix("00QHs00000QrStU"), "00QHs00000QrStUMAV");
        assert_eq!(
            parse("003hs00002abcdeIAV"),
            Parsed::Id("003Hs00002AbCdEIAV".to_owned())
        );
        assert_eq!(
            parse("003Hs00002AbCdE"),
            Parsed::Id("003Hs00002AbCdEIAV".to_owned())
        );
    }

    #[test]
    fn a_suffix_that_marks_a_digit_is_malformed() {
        assert_eq!(parse("003Hs00002AbCdB000"), Parsed::Malformed);
        assert_eq!(parse("abc"), Parsed::NoId);
        assert_eq!(parse("accountNumber15"), Parsed::NoId);
        assert_eq!(parse("ööööööööö"), Parsed::NoId);
    }

    #[test]
    fn generated_ids_are_well_formed_and_differ() {
        let (a, b) = (generate("003", 61), generate("003", 62));
        assert_ne!(a, b);
        assert_eq!(parse(&a), Parsed::Id(a.clone()));
        let custom = generate("a00", 7);
        assert_eq!(parse(&custom), Parsed::Id(custom.clone()));
        assert_eq!(parse(&custom.to_ascii_uppercase()), Parsed::Id(custom.clone()));
    }
}
