//! The header `Amp-Warnings`: what was accepted and will perhaps not do what was meant.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// So many notes are told, at most.
const MOST: usize = 20;
/// What a header with a list cannot hold as it is.
const NOT_IN_A_LIST: &AsciiSet = &CONTROLS.add(b',').add(b'%');

/// The header with these notes; none without notes. A comma in a note is percent-encoded: commas stand between them.
#[must_use]
pub fn warnings(notes: impl IntoIterator<Item = String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut notes = notes.into_iter();
    let mut told: Vec<String> = notes
        .by_ref()
        .take(MOST)
        .map(|note| utf8_percent_encode(&note, NOT_IN_A_LIST).collect())
        .collect();
    match notes.count() {
        0 => {}
        more => told.push(format!("and {more} more")),
    }
    if let Ok(value) = HeaderValue::from_str(&told.join(", "))
        && !told.is_empty()
    {
        headers.insert(HeaderName::from_static("amp-warnings"), value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::warnings;

    #[test]
    fn notes_are_listed_in_one_header_that_any_text_fits_in() {
        assert!(warnings([]).is_empty());
        let headers = warnings(["a: b, c".to_owned(), "schön\n".to_owned()]);
        assert_eq!(headers["amp-warnings"], "a: b%2C c, sch%C3%B6n%0A");
        let many = warnings((0..25).map(|n| n.to_string()));
        assert!(
            many["amp-warnings"]
                .to_str()
                .is_ok_and(|text| text.ends_with("19, and 5 more"))
        );
    }
}
