//! The page of `gofix report --html` in a real browser, where this machine has one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::report::{page, sample};

/// Looks at the page in a frame of its own, as wide as a narrow phone, and writes what it finds into the document.
const LOOK: &str = r#"<!DOCTYPE html><html style="color-scheme: SCHEME"><meta charset="utf-8">
<iframe id="page" style="width: 400px; height: 3000px; border: 0; color-scheme: SCHEME"></iframe>
<script id="source" type="text/plain">SOURCE</script>
<pre id="found"></pre>
<script>
const frame = document.getElementById('page');
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow, found = {};
  const all = [...page.body.querySelectorAll('*')];
  for (const details of page.querySelectorAll('details')) details.open = true;
  const channels = text => (text.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(view.getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const shown = element => element.getClientRects().length > 0;
  const says = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  found.overhang = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  found.contrast = all.filter(says).filter(shown).map(element => {
    const pair = [light(channels(view.getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    return [(pair[0] + .05) / (pair[1] + .05), element.className + ' ' + element.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
  found.ground = ground(page.body);
  found.loaded = view.performance.getEntriesByType('resource').length;
  found.unnamed = all.filter(element => element.matches('input:not([id]), [role=region]:not([aria-label]), thead th:not([scope])')
    || element.matches('input') && !page.querySelector('label[for=' + element.id + ']')).length;
  found.keys = all.filter(element => element.matches('a[href], input, summary, [tabindex="0"]')).map(element => element.localName);
  found.loud = all.filter(element => element.matches('.track') && element.getAttribute('aria-hidden') !== 'true').length;
  const rows = () => all.filter(element => element.matches('tr.fine, tr.trouble, article')).filter(shown).length;
  const bars = [...page.querySelectorAll('.track .bar')];
  found.bars = bars.length;
  found.unseen = bars.filter(bar => bar.getBoundingClientRect().width < 1).length;
  found.everything = rows();
  page.getElementById('show-trouble').click();
  found.trouble = rows();
  page.getElementById('show-failed').click();
  found.failed = rows();
  document.getElementById('found').textContent = JSON.stringify(found);
};
frame.srcdoc = document.getElementById('source').textContent.replaceAll('&lt;', '<').replaceAll('&amp;', '&');
</script></html>"#;

/// What is on paper: the page's rules for print hold, and nobody has opened or filtered anything.
const PRINT: &str = r#"<!DOCTYPE html><meta charset="utf-8">
<iframe id="page" style="width: 700px; height: 3000px; border: 0"></iframe>
<script id="source" type="text/plain">SOURCE</script>
<pre id="found"></pre>
<script>
const frame = document.getElementById('page');
frame.onload = () => {
  const page = frame.contentDocument, found = {};
  const folded = [...page.querySelectorAll('details:not([open]) > :not(summary)')];
  found.folded = folded.length;
  found.missing = folded.filter(element => !element.checkVisibility()).length;
  found.controls = [...page.querySelectorAll('input, .skip')].filter(element => element.checkVisibility()).length;
  found.overhang = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  document.getElementById('found').textContent = JSON.stringify(found);
};
frame.srcdoc = document.getElementById('source').textContent.replaceAll('&lt;', '<').replaceAll('&amp;', '&');
</script>"#;

/// A browser that runs without a screen.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    ["chromium", "chromium-browser", "google-chrome", "chrome"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)))
        .find(|file| file.is_file())
}

fn look(browser: &Path, dir: &Path, script: &str, html: &str, scheme: &str) -> Value {
    let source = html.replace('&', "&amp;").replace('<', "&lt;");
    let file = dir.join(format!("look-{scheme}.html"));
    fs::write(&file, script.replace("SCHEME", scheme).replace("SOURCE", &source)).unwrap();
    let preferred = if scheme == "dark" { 0 } else { 1 };
    let outcome = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            // Nobody is asked for anything.
            "--host-resolver-rules=MAP * ~NOTFOUND",
        ])
        .arg(format!("--blink-settings=preferredColorScheme={preferred}"))
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", file.display()))
        .env("HOME", dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert!(!said.contains("CONSOLE"), "{said}");
    let shown = String::from_utf8_lossy(&outcome.stdout);
    let found = shown
        .split_once("<pre id=\"found\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .map(|(found, _)| {
            found
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&")
        });
    serde_json::from_str(&found.unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}\n{said}\n{shown}"))
}

#[test]
fn the_page_is_read_on_a_phone_in_the_dark_by_keyboard_and_by_ear() {
    let Some(browser) = browser() else {
        writeln!(std::io::stderr(), "skipped: this machine has no Chromium").unwrap();
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let html = page(dir.path(), &[&sample(dir.path())]);
    for scheme in ["light", "dark"] {
        let found = look(&browser, dir.path(), LOOK, &html, scheme);
        assert_eq!(found["overhang"], 0, "nothing sticks out at 400 px: {found:#}");
        assert_eq!(found["contrast"], Value::Array(Vec::new()), "{scheme}");
        assert_eq!(
            found["ground"][0].as_u64().unwrap() > 128,
            scheme == "light",
            "{found:#}"
        );
        assert_eq!(found["loaded"], 0, "{found:#}");
        assert_eq!(
            (&found["unnamed"], &found["loud"]),
            (&0.into(), &0.into()),
            "{found:#}"
        );
        let keys: Vec<&str> = found["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(keys[..4], ["a", "input", "input", "input"], "{found:#}");
        assert!(keys.contains(&"summary") && keys.contains(&"div"), "{found:#}");
        // The timeline.
        assert!(found["bars"].as_u64().unwrap() > 0, "{found:#}");
        assert_eq!(found["unseen"], 0, "{found:#}");
        // Four runs: one without trouble, two that recovered, one that gave up; each in the table and with a timeline.
        assert_eq!(
            (&found["everything"], &found["trouble"], &found["failed"]),
            (&8.into(), &6.into(), &2.into()),
            "{found:#}"
        );
    }
}

#[test]
fn the_page_is_printed_whole() {
    let Some(browser) = browser() else {
        writeln!(std::io::stderr(), "skipped: this machine has no Chromium").unwrap();
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let html = page(dir.path(), &[&sample(dir.path())]);
    // A frame cannot be told that it is paper; its rules can.
    let on_paper = html.replace("@media print", "@media all");
    assert_ne!(on_paper, html);
    let found = look(&browser, dir.path(), PRINT, &on_paper, "light");
    assert!(found["folded"].as_u64().unwrap() > 0, "{found:#}");
    assert_eq!(
        (&found["missing"], &found["controls"], &found["overhang"]),
        (&0.into(), &0.into(), &0.into()),
        "{found:#}"
    );
    // On a screen they are folded: what is looked at can tell the two apart.
    let on_screen = look(&browser, dir.path(), PRINT, &html, "light");
    assert_eq!(on_screen["missing"], on_screen["folded"], "{on_screen:#}");
}
