//! Whether a file can be the go.mod of a dependency at all.
//!
//! Much less than go's parser: a dependency is read by go with unknown
//! directives ignored, so only what is no go.mod by any reading is called bad:
//! no text, broken lines or blocks, or no `module` line. A portal's page is
//! all three.

/// What is wrong, in words; `None` where it may be a go.mod.
pub(crate) fn trouble(content: &[u8]) -> Option<&'static str> {
    if content.is_empty() {
        return Some("it is empty");
    }
    let Ok(text) = std::str::from_utf8(content) else {
        return Some("it is no text");
    };
    if text.contains('\0') {
        return Some("it is no text");
    }
    let mut block: Option<&str> = None;
    let mut module = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or("").trim();
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        match block {
            Some(_) if line == ")" => block = None,
            Some(verb) => module |= verb == "module",
            None if !first.bytes().all(|b| b.is_ascii_lowercase()) => return Some("it is no go.mod"),
            None if words.next() == Some("(") && words.next().is_none() => block = Some(first),
            None => module |= first == "module" && line != first,
        }
    }
    if block.is_some() {
        return Some("it ends in the middle");
    }
    (!module).then_some("it has no module line")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_mod_files_of_the_field_pass() {
        for good in [
            "module example.com/a\n",
            "module \"example.com/a\"\n",
            "// Deprecated: use b\nmodule example.com/a // really\n\ngo 1.21\n\nrequire (\n\texample.com/b v1.0.0 // indirect\n)\n",
            "module example.com/a\r\ngo 1.12\r\n",
            "module (\n\texample.com/a\n)\n",
            "module example.com/a\nretract [v1.0.0, v1.1.0]\nreplace example.com/b => ../b\nfuture directive\n",
        ] {
            assert_eq!(trouble(good.as_bytes()), None, "{good}");
        }
    }

    #[test]
    fn what_is_no_go_mod_is_said_to_be_none() {
        for bad in [
            &b""[..],
            b"\0\0\0\0",
            b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n",
            b"<html>",
            b"\xff\xfe\x00",
            b"module example.com/a\nrequire (\n\texample.com/b v1",
            b"go 1.21\n",
            b"module\n",
        ] {
            assert!(trouble(bad).is_some(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
