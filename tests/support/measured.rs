//! Tables in docs/ that are written by what measures them.

use std::fs;
use std::path::Path;

/// Puts `text` between the marks of the block `name` in a file of docs/.
///
/// The block begins with `<!-- measured: NAME -->` and ends with `<!-- end -->`.
pub(crate) fn write(file: &str, name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let page = fs::read_to_string(&file).expect("a document");
    let mark = format!("<!-- measured: {name} -->\n");
    let start = page.find(&mark).expect("the mark of the block") + mark.len();
    let end = page[start..].find("<!-- end -->").expect("the end of the block") + start;
    let page = format!("{}\n{}\n\n{}", &page[..start], text.trim(), &page[end..]);
    fs::write(file, page).expect("the document can be written");
}
