//! Any bytes, cut anywhere.

use super::*;

fn scanned(pieces: impl Iterator<Item = Vec<u8>>) -> Diagnosis {
    let mut scanner = Scanner::default();
    for piece in pieces {
        scanner.feed(&piece);
    }
    Diagnosis::of(&scanner.finish())
}

/// Bytes that look like go's: words of the rules and shapes, in any order.
fn go_like() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<String> = RULES
        .iter()
        .filter_map(|rule| match rule.pattern {
            Pattern::Words(words) => Some(words.join(" ")),
            Pattern::Shape(_) => None,
        })
        .chain(
            [
                "go: ",
                "\n",
                "\r\n",
                "\t",
                ": ",
                "example.com/m@v1.0.0: ",
                "Get \"https://p/x/@v/list\": ",
                "reading ",
                "https://p/x/@v/v1.0.0.zip: ",
                "server response:",
                " imports\n\t",
                "exit status 128:\n\t",
                "git ls-remote in /x: ",
                "dial tcp ",
                "lookup ",
                "\u{1b}[31m",
                "\u{feff}",
                "{\"",
                "\"Error\": \"",
                "=== RUN T\n",
                "--- FAIL: T\n",
                "'http://x': ",
                "msg=\"",
                "\\n",
                "\\\"",
                "\"",
                "pre 7: ",
                "# cd /x; git y\n",
                "fatal: ",
                "package a.b/c: exit status 1\n",
                "@",
                "/",
                "é",
                "\0",
            ]
            .map(str::to_owned),
        )
        .collect();
    prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = explain(&bytes);
        let _ = diagnose(&Input { stderr: &bytes, stdout_json: Some(&bytes) });
    }

    #[test]
    fn nothing_that_looks_like_go_makes_it_panic(bytes in go_like()) {
        let _ = explain(&bytes);
        let _ = diagnose(&Input { stderr: &bytes, stdout_json: Some(&bytes) });
    }

    #[test]
    fn how_the_stream_is_cut_changes_nothing(bytes in go_like(), cuts in prop::collection::vec(1usize..40, 1..50)) {
        let whole = scanned(std::iter::once(bytes.clone()));
        let mut rest = bytes.as_slice();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = behind;
        }
        prop_assert_eq!(whole, scanned(pieces.into_iter()));
    }
}

#[test]
fn how_a_fixture_is_cut_changes_nothing() {
    for fixture in fixtures().into_iter().step_by(3) {
        let bytes = fixture.text.as_bytes();
        let whole = scanned(std::iter::once(bytes.to_vec()));
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(
                whole,
                scanned(bytes.chunks(size).map(<[u8]>::to_vec)),
                "{} in pieces of {size}",
                fixture.name
            );
        }
    }
}
