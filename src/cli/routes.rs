//! `gofix routes`: which proxies may be asked, in which order, and who learns module names by that.
//!
//! Only the user's own file is written, and of it only the key `routes`: comments, order and everything else stay.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use toml_edit::{Array, DocumentMut, Item, RawString, Value};

use super::args::{self, RoutesAction, Settings};
use super::config::{no_place, origin_json};
use super::failure::Failure;
use super::{OK, load_config, say_warnings, variable};
use crate::config::{BadValue, Config, Files, Origin, RouteSpec, expand_route};
use crate::go::env::{GoEnv, Layer};
use crate::go::proxy_list::{Element, ListError, ProxyList};
use crate::policy::presets::{self, MIRRORS, PRESETS};
use crate::policy::routes::Routes;
use crate::policy::widen::Narrow;
use crate::report::{out, safe};
use crate::sys::files;
use crate::text::{redact, redact_url};

/// Runs the command.
pub(super) fn run(asked: &args::Routes, settings: &Settings) -> Result<i32, Failure> {
    let said = match &asked.action {
        None => return list(settings, asked.json),
        Some(RoutesAction::List { json }) => return list(settings, *json || asked.json),
        Some(RoutesAction::Presets { json }) => return Ok(list_presets(*json)),
        Some(RoutesAction::Test { json }) => return super::doctor::test_routes(settings, *json),
        Some(RoutesAction::Add { lists, first }) => add(lists, *first)?,
        Some(RoutesAction::Remove { routes }) => remove(routes, settings)?,
        Some(RoutesAction::Use { routes }) => take(routes)?,
        Some(RoutesAction::Reset) => reset()?,
    };
    let mut stdout = out::stdout();
    let _ = writeln!(stdout, "{said}");
    say_overruled();
    let _ = writeln!(stdout);
    list(settings, false)
}

/// Why the user's own GOPROXY is no list.
#[derive(Debug, thiserror::Error)]
enum NoList {
    #[error("it is not UTF-8")]
    Encoding,
    #[error(transparent)]
    List(#[from] ListError),
}

/// Everything that `list` tells.
struct Overview {
    own: Result<ProxyList, NoList>,
    own_layer: Layer,
    /// The routes behind it, from number 2 on.
    routes: Vec<RouteSpec>,
    /// Those that say what a route before them says: they are left out.
    repeated: Vec<RouteSpec>,
    /// Why the routes behind the first are not used, where they are not.
    narrow: Option<Narrow>,
    checksum_database: String,
}

impl Overview {
    fn of(config: &Config) -> Self {
        let go = GoEnv::load(&variable, super::real_go().as_deref());
        let (value, own_layer) = go.get("GOPROXY");
        let own = value
            .to_str()
            .ok_or(NoList::Encoding)
            .and_then(|text| Ok(ProxyList::parse(text)?));
        let counted = Routes::of(own.as_ref().ok(), &config.route_lists(), *config.widen);
        let (mut routes, mut repeated) = (Vec::new(), Vec::new());
        for (route, place) in config.routes.iter().zip(&counted.configured) {
            let kept = if place.is_repeated {
                &mut repeated
            } else {
                &mut routes
            };
            kept.push(route.clone());
        }
        Self {
            own,
            own_layer,
            routes,
            repeated,
            narrow: counted.narrow,
            checksum_database: go.text("GOSUMDB"),
        }
    }

    /// The lists that may be asked, in order.
    fn in_force(&self) -> impl Iterator<Item = (usize, &ProxyList)> {
        let later = if self.narrow.is_none() {
            self.routes.as_slice()
        } else {
            &[]
        };
        self.own
            .iter()
            .chain(later.iter().map(|route| &route.list))
            .enumerate()
            .map(|(i, list)| (i + 1, list))
    }

    /// Who learns module names, and when.
    fn learners(&self) -> Vec<Learner> {
        let mut learners: Vec<Learner> = Vec::new();
        for (route, list) in self.in_force() {
            for (index, (element, _)) in list.entries().iter().enumerate() {
                let name = match element {
                    Element::Proxy(url) => redact_url(url),
                    Element::Direct => "direct".to_owned(),
                    Element::File(_) | Element::Off => continue,
                };
                if !learners.iter().any(|known| known.name == name) {
                    learners.push(Learner {
                        name,
                        route,
                        first: index == 0,
                    });
                }
            }
        }
        learners
    }
}

/// Somebody who learns which modules are used.
struct Learner {
    /// The proxy's URL, or `direct`.
    name: String,
    /// The first route that brings it about.
    route: usize,
    /// It stands first in that route.
    first: bool,
}

impl Learner {
    fn when(&self) -> String {
        match (self.route, self.first) {
            (1, true) => "always".to_owned(),
            (1, false) => "for what those before it do not have".to_owned(),
            (route, _) => format!("only after a fault of route {}", route - 1),
        }
    }
}

fn who(name: &str) -> &'static str {
    if name == "direct" {
        return "the servers that the modules themselves come from (github.com and others)";
    }
    presets::mirror(name).map_or("not one of the public proxies that gofix knows", |mirror| {
        mirror.operator
    })
}

fn list(settings: &Settings, json: bool) -> Result<i32, Failure> {
    let (config, warnings) = load_config(settings)?;
    let overview = Overview::of(&config);
    let mut stdout = out::stdout();
    if json {
        let _ = writeln!(stdout, "{:#}", as_json(&overview));
        return Ok(OK);
    }
    say_warnings(&warnings);
    for (number, list, from) in lines(&overview) {
        let _ = writeln!(stdout, "{number}  {list:<44}  {from}");
    }
    let _ = writeln!(stdout);
    for line in rules(&overview) {
        let _ = writeln!(stdout, "{line}");
    }
    let _ = writeln!(stdout, "\nWho learns which modules you use:");
    for learner in overview.learners() {
        let _ = writeln!(
            stdout,
            "  {}
      {}; {}",
            safe(&learner.name),
            who(&learner.name),
            learner.when()
        );
    }
    let _ = writeln!(stdout, "  {}", database(&overview.checksum_database));
    Ok(OK)
}

fn lines(overview: &Overview) -> Vec<(String, String, String)> {
    let own = match &overview.own {
        Ok(list) => list.redacted(),
        Err(complaint) => format!("(GOPROXY: {})", safe(&complaint.to_string())),
    };
    let mut lines = vec![(
        "1".to_owned(),
        safe(&own),
        format!("your own GOPROXY, from {}", where_go_has_it(overview.own_layer)),
    )];
    let from = |route: &RouteSpec| match route.preset {
        Some(preset) => format!("preset {preset}, from {}", route.origin),
        None => route.origin.to_string(),
    };
    for (index, route) in overview.routes.iter().enumerate() {
        lines.push(((index + 2).to_string(), safe(&route.list.redacted()), from(route)));
    }
    for route in &overview.repeated {
        lines.push((
            "-".to_owned(),
            safe(&route.list.redacted()),
            format!("left out, it is there already; {}", from(route)),
        ));
    }
    lines
}

fn where_go_has_it(layer: Layer) -> &'static str {
    match layer {
        Layer::Environment => "the environment",
        Layer::UserFile => "go's own file (go env -w)",
        Layer::Goroot => "GOROOT/go.env",
        Layer::Default => "go itself",
    }
}

fn rules(overview: &Overview) -> Vec<String> {
    if overview.routes.is_empty() {
        return vec![
            "There is no other route. When its proxies fail, gofix can only try them again.".to_owned(),
            "To allow others: `gofix routes use cn` or `gofix routes use global`; `gofix routes presets` lists them."
                .to_owned(),
        ];
    }
    match &overview.narrow {
        Some(reason) => vec![
            format!("Only route 1 is used: {}.", safe(&reason.to_string())),
            "To use the others all the same, set widen = \"always\" in your file, GOFIX_WIDEN or --widen.".to_owned(),
        ],
        None => vec![
            "A route is left for the next only on a fault: when nobody answers properly. Never on an answer, such as".to_owned(),
            "404, 403 or a checksum that does not match.".to_owned(),
        ],
    }
}

fn database(value: &str) -> String {
    if value == "off" {
        return "no checksum database: GOSUMDB is off".to_owned();
    }
    let name = value.split_whitespace().next().unwrap_or(value);
    let name = name.split('+').next().unwrap_or(name);
    format!(
        "{}\n      the checksum database (GOSUMDB), for modules that go.sum does not know yet; never those of GONOSUMDB or GOPRIVATE",
        safe(name)
    )
}

fn as_json(overview: &Overview) -> Json {
    let own = json!({
        "number": 1,
        "list": overview.own.as_ref().map(ProxyList::redacted).ok(),
        "error": overview.own.as_ref().err().map(ToString::to_string),
        "origin": { "layer": overview.own_layer.to_string(), "name": "GOPROXY" },
        "used": true,
    });
    let later = overview.routes.iter().enumerate().map(|(index, route)| {
        json!({
            "number": index + 2,
            "list": route.list.redacted(),
            "preset": route.preset,
            "origin": origin_json(&route.origin),
            "used": overview.narrow.is_none(),
        })
    });
    json!({
        "routes": std::iter::once(own).chain(later).collect::<Vec<_>>(),
        "narrow": overview.narrow.as_ref().map(ToString::to_string),
        "learners": overview.learners().iter().map(|learner| json!({ "name": learner.name, "operator": who(&learner.name), "first_route": learner.route })).collect::<Vec<_>>(),
        "checksum_database": overview.checksum_database,
    })
}

fn list_presets(json: bool) -> i32 {
    let mut stdout = out::stdout();
    if json {
        let _ = writeln!(stdout, "{:#}", presets_json());
        return OK;
    }
    for preset in PRESETS {
        let _ = writeln!(stdout, "{}: {}", preset.name, preset.about);
        for list in preset.lists {
            let _ = writeln!(stdout, "  {list}");
        }
    }
    let _ = writeln!(
        stdout,
        "\nThe public proxies that gofix knows, and what was last seen of them:"
    );
    for mirror in MIRRORS {
        let database = match mirror.checksum_database {
            Some(true) => "serves the checksum database too",
            Some(false) => "does not serve the checksum database",
            None => "checksum database: nothing known",
        };
        let _ = writeln!(
            stdout,
            "  https://{}{}\n      {}; {}\n      {}: {}",
            mirror.proxy.host, mirror.proxy.path, mirror.operator, database, mirror.seen, mirror.evidence
        );
    }
    let _ = writeln!(
        stdout,
        "\n`gofix routes use NAME` takes a preset; `gofix routes test` asks each proxy now."
    );
    OK
}

fn presets_json() -> Json {
    json!({
        "presets": PRESETS.iter().map(|p| json!({ "name": p.name, "about": p.about, "lists": p.lists })).collect::<Vec<_>>(),
        "proxies": MIRRORS.iter().map(|m| json!({
            "url": format!("https://{}{}", m.proxy.host, m.proxy.path),
            "operator": m.operator,
            "checksum_database": m.checksum_database,
            "evidence": m.evidence,
            "seen": m.seen,
        })).collect::<Vec<_>>(),
    })
}

/// The variable wins over the file, so a change of the file alone may change nothing.
fn say_overruled() {
    if variable("GOFIX_ROUTES").is_some_and(|value| !value.is_empty()) {
        out::message("warning: GOFIX_ROUTES is set and wins over the file; unset it for the file to count");
    }
}

/// The user's file, open for a change of its key `routes`.
pub(super) struct RoutesFile {
    path: PathBuf,
    document: DocumentMut,
    was: Vec<u8>,
}

impl RoutesFile {
    /// Reads the user's file, or starts an empty one.
    ///
    /// # Errors
    /// One line: no place for a file, a link, another owner, no TOML.
    pub(super) fn open() -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        let files = Files::locate(&variable, &mut warnings);
        Self::at(files.user.ok_or_else(no_place)?.path)
    }

    /// The same for a path that is known.
    pub(super) fn at(path: PathBuf) -> Result<Self, Failure> {
        if path.is_dir() {
            return Err(Failure::new(format!("{} is a folder", files::shown(&path)))
                .hint("move it out of the way first"));
        }
        let was = files::read(&path)?.unwrap_or_default();
        let text = std::str::from_utf8(&was).map_err(|_| {
            Failure::new(format!("{} is not valid UTF-8", files::shown(&path))).hint("fix it first")
        })?;
        let document = text.parse::<DocumentMut>().map_err(|error| {
            let line = error.span().map_or(1, |span| {
                1 + was[..span.start.min(was.len())]
                    .iter()
                    .filter(|b| **b == b'\n')
                    .count()
            });
            Failure::new(format!(
                "{}:{line}: invalid TOML: {}",
                files::shown(&path),
                safe(error.message())
            ))
            .hint("fix it first")
        })?;
        Ok(Self { path, document, was })
    }

    /// The entries as written, presets by name.
    pub(super) fn entries(&self) -> Vec<String> {
        let array = self.document.get("routes").and_then(Item::as_array);
        array
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    }

    /// The array to change; an entry that is no array of texts is replaced.
    fn array(&mut self) -> &mut Array {
        let item = self
            .document
            .entry("routes")
            .or_insert_with(|| Item::Value(Value::Array(Array::new())));
        if !item.is_array() {
            *item = Item::Value(Value::Array(Array::new()));
        }
        match item {
            Item::Value(Value::Array(array)) => array,
            _ => unreachable!("it was made an array above"),
        }
    }

    fn insert(&mut self, entry: &str, at: usize) {
        let array = self.array();
        let at = at.min(array.len());
        // In an array over several lines a new entry gets a line as the others have.
        let first = array
            .get(0)
            .map(|first| raw(first.decor().prefix()))
            .unwrap_or_default();
        let Some((_, indent)) = first.rsplit_once('\n') else {
            array.insert(at, entry);
            return;
        };
        let line = format!("\n{indent}");
        let mut value = Value::from(entry);
        if at == array.len() {
            // What stands behind the last entry up to the end of its line is a remark about that entry.
            let behind = take_behind(array);
            let (remark, rest) = behind.split_once('\n').unwrap_or((&behind, ""));
            value.decor_mut().set_prefix(format!("{remark}{line}"));
            array.set_trailing(format!("\n{rest}"));
        } else {
            value.decor_mut().set_prefix(line);
        }
        array.insert_formatted(at, value);
    }

    fn remove(&mut self, entry: &str) -> bool {
        let array = self.array();
        let Some(at) = array
            .iter()
            .position(|value| value.as_str().is_some_and(|written| same(written, entry)))
        else {
            return false;
        };
        let removed = array.remove(at);
        let before = raw(removed.decor().prefix());
        // The line above ends in front of the first line end; what follows is about the entry that goes.
        let above = before.split_once('\n').map_or("", |(above, _)| above);
        let mend = |behind: &str| match behind.split_once('\n') {
            Some((_, rest)) => format!("{above}\n{rest}"),
            None if at == 0 => behind.trim_start().to_owned(),
            None => behind.to_owned(),
        };
        if let Some(next) = array.get_mut(at) {
            let mended = mend(&raw(next.decor().prefix()));
            next.decor_mut().set_prefix(mended);
        } else {
            let mended = mend(&raw(Some(array.trailing())));
            array.set_trailing(mended);
        }
        true
    }

    /// Sets the entries, and keeps what stands round them.
    pub(super) fn replace(&mut self, entries: &[String]) {
        let array = self.array();
        array.clear();
        array.set_trailing("");
        array.set_trailing_comma(false);
        for entry in entries {
            array.push(entry.as_str());
        }
    }

    /// Removes the key; the comment above it stays in the file.
    pub(super) fn clear(&mut self) -> bool {
        let comment = self
            .document
            .key("routes")
            .and_then(|key| key.leaf_decor().prefix()?.as_str().map(str::to_owned))
            .filter(|text| text.contains('#'));
        let next = self
            .document
            .iter()
            .map(|(name, _)| name.to_owned())
            .skip_while(|name| name != "routes")
            .nth(1);
        if self.document.remove("routes").is_none() {
            return false;
        }
        if let Some(comment) = comment {
            self.keep(&comment, next.as_deref());
        }
        true
    }

    fn keep(&mut self, comment: &str, next: Option<&str>) {
        if let Some(mut key) = next.and_then(|name| self.document.key_mut(name)) {
            let lead = key
                .leaf_decor()
                .prefix()
                .and_then(|prefix| prefix.as_str())
                .unwrap_or("")
                .to_owned();
            key.leaf_decor_mut().set_prefix(format!("{comment}{lead}"));
        } else {
            let trailing = self.document.trailing().as_str().unwrap_or("").to_owned();
            self.document.set_trailing(format!("{comment}{trailing}"));
        }
    }

    /// Puts a comment behind the routes.
    pub(super) fn remark(&mut self, comment: &str) {
        if let Some(value) = self.document.get_mut("routes").and_then(Item::as_value_mut) {
            value.decor_mut().set_suffix(comment);
        }
    }

    /// This comment stands behind the routes.
    pub(super) fn has_remark(&self, comment: &str) -> bool {
        let decor = self
            .document
            .get("routes")
            .and_then(Item::as_value)
            .map(Value::decor);
        decor.and_then(|decor| decor.suffix()?.as_str()) == Some(comment)
    }

    /// Writes the file; one that has nothing left in it is removed.
    pub(super) fn save(self) -> Result<Saved, Failure> {
        let text = self.document.to_string();
        let made = if text.as_bytes() == self.was {
            None
        } else if text.trim().is_empty() {
            files::remove(&self.path)?;
            if let Some(folder) = self.path.parent().filter(|folder| folder.ends_with("gofix")) {
                files::remove_empty(folder, folder);
            }
            None
        } else {
            // 0600: a list may hold a password.
            files::write(&self.path, text.as_bytes(), 0o600)?
        };
        Ok(Saved {
            path: self.path,
            made,
        })
    }
}

/// Two ways to write one route.
fn same(a: &str, b: &str) -> bool {
    a == b || ProxyList::parse(a).is_ok_and(|a| ProxyList::parse(b) == Ok(a))
}

/// White space and comments as written.
fn raw(text: Option<&RawString>) -> String {
    text.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// Takes away what stands behind the last entry of an array.
fn take_behind(array: &mut Array) -> String {
    let trailing = raw(Some(array.trailing()));
    let last = array.len().checked_sub(1).and_then(|last| array.get_mut(last));
    let suffix = last.map(|last| {
        let suffix = raw(last.decor().suffix());
        last.decor_mut().set_suffix("");
        suffix
    });
    suffix.unwrap_or_default() + &trailing
}

/// A file that was written.
pub(super) struct Saved {
    /// Its path.
    pub(super) path: PathBuf,
    /// The topmost folder that was made for it.
    pub(super) made: Option<PathBuf>,
}

/// Checks what was typed as a route; the preset's bare name is one too where `names` says so.
fn checked(typed: &str, names: bool) -> Result<String, Failure> {
    let entry = typed.trim();
    let entry = if names && presets::find(entry).is_some() {
        format!("preset:{entry}")
    } else {
        entry.to_owned()
    };
    match expand_route(&entry, &Origin::Default) {
        Ok(_) => Ok(entry),
        Err(_) if names && !entry.is_empty() && !entry.contains(['.', '/', ':', ',']) && entry != "off" => {
            Err(BadValue::Preset(safe(&entry)).into())
        }
        Err(why) => Err(Failure::new(format!("`{}`: {why}", safe(&redact_entry(&entry))))),
    }
}

fn redact_entry(entry: &str) -> String {
    redact(entry)
        .split_inclusive([',', '|'])
        .map(redact_url)
        .collect()
}

fn add(lists: &[String], first: bool) -> Result<String, Failure> {
    let mut file = RoutesFile::open()?;
    let mut said = Vec::new();
    for (index, typed) in lists.iter().enumerate() {
        let entry = checked(typed, true)?;
        if file.entries().iter().any(|known| same(known, &entry)) {
            said.push(format!("{} is there already", safe(&redact_entry(&entry))));
            continue;
        }
        file.insert(&entry, if first { index } else { usize::MAX });
        said.push(format!("added {}", safe(&redact_entry(&entry))));
    }
    let path = file.save()?.path;
    Ok(format!("{} in {}", said.join(", "), files::shown(&path)))
}

fn remove(routes: &[String], settings: &Settings) -> Result<String, Failure> {
    let mut file = RoutesFile::open()?;
    let (config, _) = load_config(settings)?;
    // Numbers first: every removal would shift those behind it.
    let entries: Vec<String> = routes
        .iter()
        .map(|typed| entry_of(typed, &config))
        .collect::<Result<_, _>>()?;
    for entry in &entries {
        if !file.remove(entry) {
            return Err(Failure::new(format!(
                "{} has no route {}",
                files::shown(&file.path),
                safe(&redact_entry(entry))
            )));
        }
    }
    if file.entries().is_empty() {
        file.clear();
    }
    let path = file.save()?.path;
    let names: Vec<String> = entries.iter().map(|entry| safe(&redact_entry(entry))).collect();
    Ok(format!(
        "removed {} from {}",
        names.join(", "),
        files::shown(&path)
    ))
}

/// What stands in the file for what was typed: a number of `gofix routes`, a preset's name, or the list itself.
fn entry_of(typed: &str, config: &Config) -> Result<String, Failure> {
    let Ok(number) = typed.parse::<usize>() else {
        return Ok(if presets::find(typed).is_some() {
            format!("preset:{typed}")
        } else {
            typed.to_owned()
        });
    };
    if number == 1 {
        return Err(
            Failure::new("route 1 is your own GOPROXY").hint("change it with `go env -w GOPROXY=LIST`")
        );
    }
    let overview = Overview::of(config);
    let route = number.checked_sub(2).and_then(|index| overview.routes.get(index));
    let route = route.ok_or_else(|| {
        Failure::new(format!("there is no route {number}")).hint("`gofix routes` lists them")
    })?;
    if !matches!(route.origin, Origin::UserFile(..)) {
        return Err(Failure::new(format!(
            "route {number} comes from {}, not from your file",
            route.origin
        )));
    }
    match route.preset {
        Some(preset) => Err(Failure::new(format!("route {number} is part of preset:{preset}"))
            .hint(format!("remove it with `gofix routes remove preset:{preset}`"))),
        None => Ok(route.list.value()),
    }
}

fn take(routes: &[String]) -> Result<String, Failure> {
    let entries: Vec<String> = routes
        .iter()
        .map(|typed| checked(typed, true))
        .collect::<Result<_, _>>()?;
    let mut file = RoutesFile::open()?;
    file.replace(&entries);
    let path = file.save()?.path;
    let names: Vec<String> = entries.iter().map(|entry| safe(&redact_entry(entry))).collect();
    Ok(format!(
        "the routes of {} are now: {}",
        files::shown(&path),
        names.join("; ")
    ))
}

fn reset() -> Result<String, Failure> {
    let mut file = RoutesFile::open()?;
    if !file.clear() {
        return Ok(format!("{} has no routes", files::shown(&file.path)));
    }
    let path = file.save()?.path;
    Ok(format!("removed the routes from {}", files::shown(&path)))
}
