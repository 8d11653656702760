//! From the bytes of an answer to its text: uncompressed, and in UTF-8. Pure.
//!
//! Nothing is asked for that would need this; providers, and what stands before them, do it all the same.

use std::io::Read as _;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// How often a body may have been compressed; more is no answer but an attack.
const MAX_LAYERS: usize = 2;
/// What every gzip begins with. No text does.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The text of a body, of which no more than `limit` bytes are unpacked; and whether it is whole. `whole`: the bytes are.
pub(super) fn decoded(headers: &HeaderMap, body: Vec<u8>, whole: bool, limit: usize) -> (Vec<u8>, bool) {
    let (body, whole) = unpacked(headers, body, whole, limit);
    (in_utf8(headers, body), whole)
}

fn unpacked(headers: &HeaderMap, mut body: Vec<u8>, mut whole: bool, limit: usize) -> (Vec<u8>, bool) {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let names = values.filter_map(|value| value.to_str().ok());
    let names: Vec<String> = names
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !matches!(name.as_str(), "" | "identity" | "none"))
        .collect();
    if body.is_empty() {
        return (body, whole);
    }
    if names.len() > MAX_LAYERS {
        return (body, false);
    }
    for name in names.iter().rev() {
        let unpack = match name.as_str() {
            "gzip" | "x-gzip" if body.starts_with(&GZIP) => gunzip,
            "deflate" => inflate,
            // Said, and not done.
            "gzip" | "x-gzip" => continue,
            _ => return (body, false),
        };
        let (text, is_whole) = unpack(&body, limit);
        (body, whole) = (text, whole && is_whole);
    }
    // Done, and not said.
    if body.starts_with(&GZIP) {
        let (text, is_whole) = gunzip(&body, limit);
        (body, whole) = (text, whole && is_whole);
    }
    (body, whole)
}

fn gunzip(body: &[u8], limit: usize) -> (Vec<u8>, bool) {
    read(MultiGzDecoder::new(body), limit)
}

/// The name stands for the format of zlib, and some send it without the frame, or do not send it at all.
fn inflate(body: &[u8], limit: usize) -> (Vec<u8>, bool) {
    let framed = matches!(body, [first, second, ..] if first & 0x0f == 8
        && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
    let (text, whole) = if framed {
        read(ZlibDecoder::new(body), limit)
    } else {
        read(DeflateDecoder::new(body), limit)
    };
    let plain = body
        .trim_ascii_start()
        .first()
        .is_some_and(|byte| b"{[\"<".contains(byte));
    if !whole && plain && !framed {
        return (body.to_vec(), true);
    }
    (text, whole)
}

fn read(from: impl std::io::Read, limit: usize) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let whole = from.take(most).read_to_end(&mut text).is_ok() && text.len() <= limit;
    text.truncate(limit);
    (text, whole)
}

/// What says itself in what it is written counts, then what the answer declares. Else the bytes stay, and whoever reads
/// them replaces what is no UTF-8.
fn in_utf8(headers: &HeaderMap, body: Vec<u8>) -> Vec<u8> {
    let encoding = match Encoding::for_bom(&body) {
        Some((encoding, _)) => Some(encoding),
        None => utf16(&body).or_else(|| declared(headers)),
    };
    match encoding {
        None => body,
        Some(encoding) if encoding == UTF_8 || encoding == REPLACEMENT => body,
        Some(encoding) => encoding
            .decode_with_bom_removal(&body)
            .0
            .into_owned()
            .into_bytes(),
    }
}

/// JSON begins with a character of ASCII, and has no zero bytes.
fn utf16(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [0, 1..=255, ..] => Some(UTF_16BE),
        [1..=255, 0, ..] => Some(UTF_16LE),
        _ => None,
    }
}

/// The `charset` of the content type.
fn declared(headers: &HeaderMap) -> Option<&'static Encoding> {
    let content_type = headers.get(CONTENT_TYPE)?.as_bytes();
    let content_type = String::from_utf8_lossy(content_type).to_ascii_lowercase();
    let charset = content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == "charset").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    })?;
    // Bytes that are not ASCII make this declaration untrue, so it says nothing about them.
    if matches!(charset.as_str(), "us-ascii" | "ascii") {
        return None;
    }
    Encoding::for_label(charset.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const LIMIT: usize = 1_000;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name: http::HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            })
            .collect()
    }

    fn text(pairs: &[(&str, &str)], body: &[u8]) -> (String, bool) {
        let (body, whole) = decoded(&headers(pairs), body.to_vec(), true, LIMIT);
        (String::from_utf8_lossy(&body).into_owned(), whole)
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(body: &[u8], framed: bool) -> Vec<u8> {
        if framed {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).unwrap();
            return encoder.finish().unwrap();
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_declared_charset_is_decoded() {
        let json = |charset: &str| format!("application/json; charset={charset}");
        for (charset, body, expected) in [
            ("ISO-8859-1", &b"S\xe3o"[..], "São"),
            ("\"iso-8859-1\"", b"S\xe3o", "São"),
            ("windows-1252", b"\x80 5", "€ 5"),
            ("Shift_JIS", b"\x93\xfa", "日"),
            ("utf-16", b"\xff\xfe{\0}\0", "{}"),
            ("utf-16", b"\0{\0}", "{}"),
            ("utf-16le", b"{\0}\0", "{}"),
            // What is in UTF-8 by its own word stays.
            ("ISO-8859-1", "\u{feff}ã".as_bytes(), "\u{feff}ã"),
            ("utf-8", b"S\xe3o", "S\u{fffd}o"),
            ("nonsense", "ã".as_bytes(), "ã"),
            ("us-ascii", "ã".as_bytes(), "ã"),
            ("iso-2022-kr", "ã".as_bytes(), "ã"),
        ] {
            let told = text(&[("content-type", &json(charset))], body);
            assert_eq!(told, (expected.to_owned(), true), "{charset}");
        }
        assert_eq!(text(&[], "ã".as_bytes()).0, "ã");
        assert_eq!(text(&[], b"{\0\"\0\xe3\0\"\0}\0").0, "{\"ã\"}");
        assert_eq!(
            text(&[("content-type", "application/json")], b"\xe3").0,
            "\u{fffd}"
        );
    }

    #[test]
    fn what_is_compressed_is_unpacked_whether_said_or_not() {
        let body = br#"{"id":"1"}"#;
        let expected = (r#"{"id":"1"}"#.to_owned(), true);
        for (said, sent) in [
            ("gzip", gzip(body)),
            ("GZip", gzip(body)),
            ("x-gzip", gzip(body)),
            ("", gzip(body)),
            ("identity", gzip(body)),
            ("gzip", body.to_vec()),
            ("deflate", deflate(body, true)),
            ("deflate", deflate(body, false)),
            ("deflate", body.to_vec()),
            ("identity", body.to_vec()),
            ("deflate, gzip", gzip(&deflate(body, true))),
        ] {
            assert_eq!(text(&[("content-encoding", said)], &sent), expected, "{said}");
        }
        let both = [
            ("content-encoding", "gzip"),
            ("content-type", "text/plain; charset=latin1"),
        ];
        assert_eq!(text(&both, &gzip(b"\xe3")).0, "ã");
    }

    #[test]
    fn what_is_cut_too_long_or_packed_otherwise_is_not_whole() {
        let body = br#"{"id":"1","name":"Mira Holt of Northpeak"}"#;
        let packed = gzip(body);
        let (told, whole) = text(&[("content-encoding", "gzip")], &packed[..packed.len() - 9]);
        assert!(!whole && !told.is_empty());
        let bomb = gzip(&vec![b' '; 5_000_000]);
        let (told, whole) = text(&[], &bomb);
        assert!(!whole && told.len() == LIMIT);
        assert!(!text(&[("content-encoding", "br")], b"\x0b\x02\x80{}\x03").1);
        assert!(!text(&[("content-encoding", "gzip, gzip, gzip")], &packed).1);
        assert!(!text(&[("content-encoding", "deflate")], b"\xff\xff\xff").1);
        // Without a body there is nothing to unpack.
        assert_eq!(text(&[("content-encoding", "br")], b""), (String::new(), true));
        assert!(!decoded(&headers(&[]), body.to_vec(), false, LIMIT).1);
    }
}
