//! The manifest inside a zip.

use std::io::{Cursor, Read as _};

use zip::ZipArchive;

/// The name of the manifest.
const NAME: &str = "amp.yaml";
/// How much of it is read, unpacked: one byte more than a manifest may have, so that a longer one is seen as such.
const MAX_BYTES: u64 = (1 << 20) + 1;

/// Reads `amp.yaml` out of a zip. Only the one at its top counts: one in a folder may be another program's, or a copy.
pub(super) fn manifest_in(content: Vec<u8>) -> Result<String, String> {
    let mut archive = ZipArchive::new(Cursor::new(content)).map_err(|_| "is not a zip file".to_owned())?;
    let names: Vec<String> = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .collect();
    if !names.iter().any(|name| name == NAME) {
        let elsewhere = names
            .iter()
            .any(|name| name.rsplit(['/', '\\']).next() == Some(NAME));
        return Err(match elsewhere {
            true => format!("holds its {NAME} in a folder: it has to be at the top of the zip"),
            false => format!("holds no {NAME} at its top"),
        });
    }
    let file = archive
        .by_name(NAME)
        .map_err(|error| format!("holds a {NAME} that cannot be unpacked: {error}"))?;
    let mut text = Vec::new();
    file.take(MAX_BYTES)
        .read_to_end(&mut text)
        .map_err(|_| format!("holds a {NAME} that cannot be unpacked"))?;
    String::from_utf8(text).map_err(|_| format!("holds a {NAME} that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .expect("in memory");
            writer.write_all(content).expect("in memory");
        }
        writer.finish().expect("in memory").into_inner()
    }

    #[test]
    fn the_manifest_is_found_at_the_top_whatever_lies_beside_it() {
        for beside in [
            &[][..],
            &[("__MACOSX/._amp.yaml", b"x".as_slice())],
            &[("a/amp.yaml", b"b: 2"), ("../amp.yaml", b"c: 3")],
        ] {
            let files: Vec<(&str, &[u8])> = beside
                .iter()
                .copied()
                .chain([("amp.yaml", b"a: 1".as_slice())])
                .collect();
            assert_eq!(manifest_in(zipped(&files)).as_deref(), Ok("a: 1"), "{beside:?}");
        }
    }

    #[test]
    fn a_manifest_in_a_folder_or_outside_is_not_taken() {
        for name in [
            "sub/amp.yaml",
            "../amp.yaml",
            "a/b/amp.yaml",
            "/amp.yaml",
            "..\\amp.yaml",
            "./sub/amp.yaml",
        ] {
            let found = manifest_in(zipped(&[(name, b"a: 1")]));
            assert!(
                found.as_ref().is_err_and(|why| why.contains("top of the zip")),
                "{name}: {found:?}"
            );
        }
        for name in ["AMP.YAML", "amp.yaml/x", "amp.yaml.bak", "._amp.yaml"] {
            let found = manifest_in(zipped(&[(name, b"a: 1")]));
            assert!(
                found.as_ref().is_err_and(|why| why.contains("no amp.yaml")),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_no_zip_or_holds_no_manifest_is_said() {
        assert!(manifest_in(b"specVersion: 1.0.0".to_vec()).is_err_and(|why| why.contains("not a zip")));
        assert!(
            manifest_in(zipped(&[("other.yaml", b"a: 1")])).is_err_and(|why| why.contains("no amp.yaml"))
        );
        assert!(manifest_in(zipped(&[("amp.yaml", &[0xff, 0xfe])])).is_err_and(|why| why.contains("UTF-8")));
    }

    #[test]
    fn a_manifest_that_unpacks_to_gigabytes_is_read_no_further_than_a_manifest_may_be() {
        let bomb = zipped(&[("amp.yaml", &vec![b' '; 64 << 20])]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(manifest_in(bomb).map(|text| text.len()), Ok((1 << 20) + 1));
    }
}
