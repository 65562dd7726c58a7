//! What a file is, by its bytes and not by its name: nothing that could run code when it is loaded is kept.

use std::path::Path;

/// What may be kept: data that declares, and does nothing.
const KEPT: [&str; 9] = ["json", "csv", "txt", "md", "png", "svg", "html", "onnx", "log"];

/// Why a file is not kept; `None` where it may be.
pub(super) fn refusal(name: &Path, bytes: &[u8]) -> Option<&'static str> {
    if is_pickle(bytes) {
        return Some("it is a pickle, which runs code when it is loaded");
    }
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        return Some("it is a zip archive, which may hold pickles");
    }
    if starts(b"\x1f\x8b") || starts(b"BZh") || starts(b"\xfd7zXZ") || starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Some("it is compressed, and may hold pickles");
    }
    // zlib, as joblib writes it: the first two bytes are a multiple of 31 with the method 8 (RFC 1950).
    if let [first, second, ..] = bytes
        && first & 0x0f == 8
        && first >> 4 == 7
        && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31)
    {
        return Some("it is compressed as joblib does, and may hold pickles");
    }
    if starts(b"\x93NUMPY") || starts(b"\x89HDF") || starts(b"\x7fELF") || starts(b"MZ") {
        return Some("it is of a kind that may hold code");
    }
    let ending = name.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if !KEPT.contains(&ending.as_str()) {
        return Some("files of this kind are not kept");
    }
    let fits = match ending.as_str() {
        "png" => starts(b"\x89PNG\r\n\x1a\n"),
        // A message of protocol buffers that begins with the version of its format.
        "onnx" => starts(&[0x08]),
        "json" => serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok(),
        _ => !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok(),
    };
    (!fits).then_some("its content is not what its name says")
}

/// Whether loading it as a pickle would do something. Protocols 2 and above say so at their beginning; 0 and 1 look like
/// text, so their instructions are followed until one is found that calls code, and until the end of the pickle.
fn is_pickle(bytes: &[u8]) -> bool {
    if let [0x80, protocol, ..] = bytes
        && (2..=8).contains(protocol)
    {
        return true;
    }
    follows(bytes).unwrap_or(false)
}

/// Follows the instructions of a pickle of protocol 0 or 1 (Python's `pickletools` lists them). `None` where it is no
/// pickle.
fn follows(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    let mut calls = false;
    let mut n_done = 0u64;
    while let [op, after @ ..] = rest {
        rest = after;
        n_done += 1;
        match op {
            // The end. One instruction alone, such as a full stop, is text.
            b'.' => return Some(calls || n_done > 2),
            b'c' | b'i' => {
                let (module, name) = (line(&mut rest)?, line(&mut rest)?);
                let is_name = |text: &[u8]| {
                    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(b))
                };
                (is_name(module) && is_name(name)).then_some(())?;
                calls = true;
            }
            b'R' | b'o' | b'b' | 0x81 | 0x92 | 0x93 => calls = true,
            b'I' | b'L' | b'F' | b'S' | b'V' | b'P' | b'g' | b'p' => {
                line(&mut rest)?;
            }
            b'('
            | b')'
            | b']'
            | b'}'
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'Q'
            | b'a'
            | b'd'
            | b'e'
            | b'l'
            | b's'
            | b't'
            | b'u'
            | 0x85..=0x89 => {}
            b'K' | b'U' | b'h' | b'q' | b'C' => {
                let (&n, after) = rest.split_first()?;
                let skip = if matches!(op, b'U' | b'C') { usize::from(n) } else { 0 };
                rest = after.get(skip..)?;
            }
            b'M' => rest = rest.get(2..)?,
            b'J' | b'j' | b'r' => rest = rest.get(4..)?,
            b'G' => rest = rest.get(8..)?,
            b'T' | b'X' | b'B' => {
                let n = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize;
                rest = rest.get(4..)?.get(n..)?;
            }
            0x80 => rest = rest.get(1..)?,
            _ => return None,
        }
    }
    None
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|b| *b == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..)?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pickles_are_known_whatever_they_are_called() {
        // What `pickle.dumps` writes of an object whose loading calls `os.system`, by protocol.
        let pickles: [&[u8]; 6] = [
            b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n.",
            b"cposix\nsystem\nq\x00(X\x02\x00\x00\x00idq\x01tq\x02Rq\x03.",
            b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.",
            b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
            b"(lp0\nI1\naI2\na.",
            b"(iposix\nsystem\np0\n.",
        ];
        for bytes in pickles {
            for name in ["model.pkl", "notes.txt", "table.csv", "model.onnx", "x", "a.json"] {
                let why = refusal(Path::new(name), bytes);
                assert!(why.is_some_and(|why| why.contains("pickle")), "{name}: {why:?}");
            }
        }
        for (name, bytes) in [
            ("weights.pt", &b"PK\x03\x04archive/data.pkl"[..]),
            ("model.joblib", b"\x78\x9c\x4b"),
            ("model.joblib.txt", b"\x78\x5e\x4b"),
            ("a.csv", b"\x1f\x8b\x08"),
            ("array.npy", b"\x93NUMPY\x01\x00"),
            ("MLmodel", b"flavors:\n  python_function:\n    loader_module: evil\n"),
            ("code.py", b"print(1)\n"),
            ("plot.png", b"<svg/>"),
            ("a.json", b"{oh"),
            ("a.txt", b"a\x00b"),
            ("a.md", b"\xff\xfe"),
            ("model.onnx", b"no"),
        ] {
            assert!(refusal(Path::new(name), bytes).is_some(), "{name}");
        }
        for (name, bytes) in [
            ("a.json", &b"{\"a\":[1,2]}"[..]),
            ("a.csv", b"colour,price\nred,1\nblue,2\n"),
            ("notes.txt", b"."),
            ("notes.txt", b"I was here.\nIn 2026.\n"),
            ("README.MD", b"# Title\n\nText.\n"),
            ("plot.png", b"\x89PNG\r\n\x1a\n\x00\x00"),
            ("plot.svg", b"<svg/>"),
            ("model.onnx", b"\x08\x07\x12\x04test"),
            ("empty.txt", b""),
        ] {
            assert_eq!(refusal(Path::new(name), bytes), None, "{name}");
        }
    }
}
