//! Writes what the fuzzer begins with into a folder: every text of the fixtures, plain and as a log shows it, and one
//! of each other thing that is read.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn main() {
    let out = PathBuf::from(std::env::args().nth(1).expect("usage: seeds FOLDER"));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let prefixes = fs::read_to_string(fixtures.join("logs/prefixes.txt")).expect("the prefixes");
    let mut texts = Vec::new();
    read(&fixtures, &mut texts);
    let mut seeds: Vec<Vec<u8>> = OTHERS.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(zip());
    for (text, prefix) in texts.iter().zip(prefixes.lines().cycle()) {
        seeds.push(text.clone());
        seeds.push(
            String::from_utf8_lossy(text)
                .lines()
                .flat_map(|line| dressed(prefix, line))
                .collect(),
        );
    }
    fs::create_dir_all(&out).expect("a folder");
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(out.join(number.to_string()), seed).expect("written");
    }
}

/// A line as a log shows it.
fn dressed(prefix: &str, line: &str) -> Vec<u8> {
    let quoted = serde_json::to_string(line).expect("a string");
    let line = if prefix.contains("\"{}") {
        quoted.trim_matches('"')
    } else {
        line
    };
    format!("{}\n", prefix.replace("{}", line)).into_bytes()
}

/// The texts of all files below a folder: each one's whole, or the `text` of each of its lines.
fn read(folder: &Path, texts: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            let content = fs::read_to_string(&path).expect("a file");
            let objects = content
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
            texts.extend(objects.filter_map(|object| Some(object["text"].as_str()?.as_bytes().to_vec())));
        } else {
            texts.push(fs::read(&path).expect("a file"));
        }
    }
}

fn zip() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in [("go.mod", "module example.com/m\n"), ("m.go", "package m\n")] {
        zip.start_file(
            format!("example.com/m@v1.2.3/{name}"),
            zip::write::SimpleFileOptions::default(),
        )
        .expect("a file");
        zip.write_all(content.as_bytes()).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}

const OTHERS: &[&str] = &[
    // Rewriting: 1 stands for the relay's prefix.
    "\0go: example.com/m@v1.2.3: reading \u{1}0/example.com/m/@v/v1.2.3.mod: 599 relay fault 1\n",
    "\u{1}{\"Error\": \"reading \u{1}1/example.com/m/@v/list: 599 relay fault 2\"}\n",
    "\u{3}# get \u{1}0/example.com/m/@v/list: 200 OK (0.012s)\n",
    // URLs, proxies, lists, paths.
    "https://user:pa%2Fss@proxy.example.com:8443/go?q=1#f\n../other/@v/list",
    "http://[::1]:8080/\n//host.example/x",
    "socks5://127.0.0.1:1080\n.example.com,10.0.0.0/8,*,[::1]:443",
    "https://proxy.example.com|https://u:p@mirror.example.com/go,direct",
    "file:///srv/mirror,off",
    "1h30m",
    "250ms",
    "github.com/!burnt!sushi/toml/@v/v1.2.3.info",
    "sumdb/sum.golang.org/tile/8/0/x003/099.p/7",
    "sumdb/sum.golang.org/lookup/example.com/m@v1.2.3",
    // Files of the protocol; the first byte says which.
    "\0v1.0.0\nv1.2.3\nv2.0.0+incompatible\n",
    "\u{2}{\"Version\":\"v1.2.3\",\"Time\":\"2026-09-01T12:00:00Z\"}",
    "\u{3}module example.com/m\n\ngo 1.21\n\nrequire (\n\texample.com/n v1.0.0 // indirect\n)\n\nreplace example.com/n => ../n\n",
    "\u{5}7\nexample.com/m v1.2.3 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nexample.com/m v1.2.3/go.mod h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\ngo.sum database tree\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} sum.golang.org Az3grkAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    "\u{6}go.sum database tree\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} sum.golang.org Az3grkAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    "\u{6}sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    // Settings.
    "routes = [\"https://proxy.example.com|direct\", \"preset:china\"]\nbudget = \"10m\"\nrelay = \"auto\"\nrepair = \"auto\"\nwiden = \"faults\"\nretry_count = 4\nstall = \"30s\"\nlog = \"debug\"\nreport = \"/tmp/report.jsonl\"\n",
];
