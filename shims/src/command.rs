//! What the user asked go to do, and what gofix does with it.
//!
//! The command line is read the way cmd/go reads it: command words first (`lookupCmd` in its main.go), one
//! `-C` at the place where the words end (`handleChdirFlag`), then flags by the rules of package flag, and for
//! `go test` by those of `test/testflag.go`. Nothing here allocates, panics or looks at the system: the shim
//! runs this before every command, and a panic path would pull the unwinder into it.
//!
//! Known limitations: flags that a later go adds are taken for switches without a value, and the flags
//! that a vet tool adds of its own are not known at all. The price of a wrong guess is a command that is
//! passed through without supervision, or one supervised that did not need it.

/// What gofix does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// The real go takes over the process and nothing else happens.
    Pass,
    /// Run under supervision: watched, diagnosed, and run again where that may help.
    Supervised,
    /// Runs the user's own code: a prefetch at most, then the real go takes over the process.
    Carried,
}

/// A list of arguments, without the name of the program.
pub trait ArgList {
    /// The argument at `index`, as bytes; `None` behind the last one.
    fn word(&self, index: usize) -> Option<&[u8]>;
}

#[cfg(unix)]
impl ArgList for [std::ffi::OsString] {
    fn word(&self, index: usize) -> Option<&[u8]> {
        use std::os::unix::ffi::OsStrExt;
        self.get(index).map(|word| word.as_bytes())
    }
}

/// What was found out about a command line; positions count arguments without the name of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do with it.
    pub treatment: Treatment,
    /// The command words that go knows, such as `["mod", "tidy"]`; empty where the first is unknown.
    pub words: &'static [&'static str],
    /// Where the value of `-C` is: the argument, and how many of its bytes come before the value.
    pub chdir: Option<(usize, usize)>,
    /// The first argument behind the command words and `-C`.
    pub rest: usize,
    /// The flag that names a program of the user's (`toolexec`, `vettool`, `fixtool`, `exec`), if one is set.
    pub program_flag: Option<&'static str>,
}

/// One go command. Which commands reach the module network and which run the user's code is written down in
/// cmd/go's own packages; the field `treatment` sums it up.
struct Command {
    words: &'static [&'static str],
    treatment: Treatment,
    accepts: u8,
}

/// The command has the flag `-mod` (`work.AddBuildFlags` without `OmitModFlag`), and `vendor` keeps it offline.
const MOD: u8 = 1;
/// The command has `-toolexec` (`work.AddBuildFlags`).
const TOOLEXEC: u8 = 2;
/// The command has `-vettool` or `-fixtool` (`vet/vetflag.go`), `-c` with a number, and flags of analyzers with lists.
const VETTOOL: u8 = 4;
/// The command has `-exec` (`run/run.go`, `test/testflag.go`).
const EXEC: u8 = 8;
/// Flags may follow packages, and unknown ones belong to the test binary (`test/testflag.go`).
const TEST: u8 = 16;
/// The first argument that is no flag names a tool (`tool/tool.go`).
const TOOL: u8 = 32;
/// `-f` has a value (`list/list.go`; the old `-f` of `go get` has none).
const FORMAT: u8 = 64;
/// `-fix` has a value (`go fix -fix LIST`, up to 1.25; `go vet -fix` is a switch).
const FIX: u8 = 128;

const fn command(words: &'static [&'static str], treatment: Treatment, accepts: u8) -> Command {
    Command {
        words,
        treatment,
        accepts,
    }
}

/// Every command of go 1.21 to 1.27. Sources, all below src/cmd/go: main.go for the names, modcmd, modget, work,
/// list, vet and workcmd for those that load modules. `fmt` and `clean` print no error of the network and end with 0
/// whatever it does, so there is nothing to supervise; `doc` may end with 1, and is passed through all the same: what
/// it shows is made for a terminal or a browser, by a process of its own. `fix` and `generate` run generators or
/// analyzers of the user's, `run`, `test` and `tool` programs of the user's.
static COMMANDS: [Command; 28] = [
    command(&["build"], Treatment::Supervised, MOD | TOOLEXEC),
    command(&["test"], Treatment::Carried, MOD | TOOLEXEC | EXEC | TEST),
    command(&["run"], Treatment::Carried, MOD | TOOLEXEC | EXEC),
    command(&["list"], Treatment::Supervised, MOD | TOOLEXEC | FORMAT),
    command(&["vet"], Treatment::Supervised, MOD | TOOLEXEC | VETTOOL),
    command(&["install"], Treatment::Supervised, MOD | TOOLEXEC),
    command(&["get"], Treatment::Supervised, TOOLEXEC),
    command(&["tool"], Treatment::Carried, TOOL),
    command(&["generate"], Treatment::Carried, TOOLEXEC),
    command(&["fix"], Treatment::Carried, TOOLEXEC | VETTOOL | FIX),
    command(&["version"], Treatment::Pass, 0),
    command(&["env"], Treatment::Pass, 0),
    command(&["help"], Treatment::Pass, 0),
    command(&["fmt"], Treatment::Pass, 0),
    command(&["clean"], Treatment::Pass, 0),
    command(&["doc"], Treatment::Pass, 0),
    command(&["bug"], Treatment::Pass, 0),
    command(&["telemetry"], Treatment::Pass, 0),
    command(&["mod", "tidy"], Treatment::Supervised, 0),
    command(&["mod", "download"], Treatment::Supervised, 0),
    command(&["mod", "vendor"], Treatment::Supervised, 0),
    command(&["mod", "why"], Treatment::Supervised, 0),
    command(&["mod", "graph"], Treatment::Supervised, 0),
    command(&["mod", "verify"], Treatment::Supervised, 0),
    command(&["mod", "init"], Treatment::Pass, 0),
    command(&["mod", "edit"], Treatment::Pass, 0),
    command(&["work", "sync"], Treatment::Supervised, 0),
    command(&["work", "vendor"], Treatment::Supervised, 0),
];

/// `go work` commands that fetch nothing; apart from the others only to keep one row a line.
static WORK_LOCAL: [Command; 3] = [
    command(&["work", "init"], Treatment::Pass, 0),
    command(&["work", "use"], Treatment::Pass, 0),
    command(&["work", "edit"], Treatment::Pass, 0),
];

/// Programs that `go tool` finds in or builds for the toolchain itself: the directories of src/cmd that install
/// into pkg/tool, of go 1.21 to 1.27. A name that is both here and in a module's `tool` lines is go's own.
static BUILTIN_TOOLS: [&str; 25] = [
    "addr2line",
    "api",
    "asm",
    "buildid",
    "cgo",
    "compile",
    "covdata",
    "cover",
    "dist",
    "distpack",
    "doc",
    "fix",
    "link",
    "nm",
    "objdump",
    "pack",
    "pprof",
    "preprofile",
    "relnote",
    "test2json",
    "tools",
    "tour",
    "trace",
    "vet",
    "yacc",
];

/// Flags that take a value, over all commands that are not passed through anyway; a flag that is not here is a
/// switch. From the flag definitions in base, work, test, list, generate, modcmd, workcmd and vet.
static VALUE_FLAGS: [&str; 50] = [
    "C",
    "asmflags",
    "bench",
    "benchtime",
    "blockprofile",
    "blockprofilerate",
    "buildmode",
    "compat",
    "compiler",
    "count",
    "covermode",
    "coverpkg",
    "coverprofile",
    "cpu",
    "cpuprofile",
    "debug-actiongraph",
    "debug-runtime-trace",
    "debug-trace",
    "exec",
    "fixtool",
    "fuzz",
    "fuzzminimizetime",
    "fuzztime",
    "gccgoflags",
    "gcflags",
    "go",
    "installsuffix",
    "ldflags",
    "memprofile",
    "memprofilerate",
    "mod",
    "modfile",
    "mutexprofile",
    "mutexprofilefraction",
    "o",
    "outputdir",
    "overlay",
    "p",
    "parallel",
    "pgo",
    "pkgdir",
    "reuse",
    "run",
    "shuffle",
    "skip",
    "tags",
    "timeout",
    "toolexec",
    "trace",
    "vettool",
];

/// Switches that `go test` knows (with VALUE_FLAGS: all that it knows); any other flag belongs to the test binary
/// and what follows may be its value.
static TEST_SWITCHES: [&str; 24] = [
    "a",
    "artifacts",
    "asan",
    "benchmem",
    "buildvcs",
    "c",
    "cover",
    "failfast",
    "fullpath",
    "i",
    "json",
    "linkshared",
    "modcacherw",
    "msan",
    "n",
    "race",
    "short",
    "trimpath",
    "v",
    "work",
    "x",
    "test.v",
    "test.short",
    "test.failfast",
];

/// Decides what to do with a command line. `goflags` is the value of GOFLAGS, if there is one.
pub fn decide<A: ArgList + ?Sized>(args: &A, goflags: Option<&[u8]>) -> Decision {
    let found = find_command(args);
    let mut decision = Decision {
        treatment: Treatment::Pass,
        words: found.words,
        chdir: found.chdir,
        rest: found.next,
        program_flag: None,
    };
    let Some(command) = found.command else {
        return decision;
    };
    if command.treatment == Treatment::Pass {
        return decision;
    }
    let line = read_line(args, found.next, command);
    let mut settings = Settings::default();
    for word in GoFlags::new(goflags.unwrap_or_default()) {
        settings.take(command, split_flag(word));
    }
    settings.merge(line.settings);
    let needs_nothing = line.help
        || (command.accepts & MOD != 0 && settings.vendor)
        || (command.accepts & TOOL != 0 && is_builtin_tool(args.word(line.end)));
    if needs_nothing {
        return decision;
    }
    decision.program_flag = settings.program();
    decision.treatment = match decision.program_flag {
        Some(_) => Treatment::Carried,
        None => command.treatment,
    };
    decision
}

struct Found {
    command: Option<&'static Command>,
    words: &'static [&'static str],
    chdir: Option<(usize, usize)>,
    next: usize,
}

/// Finds the command words and `-C`, which may stand before, between and right behind them.
fn find_command<A: ArgList + ?Sized>(args: &A) -> Found {
    let mut found = Found {
        command: None,
        words: &[],
        chdir: None,
        next: 0,
    };
    while let Some(word) = args.word(found.next) {
        if found.chdir.is_none()
            && let Some((value, next)) = chdir_flag(args, found.next)
        {
            found.chdir = Some(value);
            found.next = next;
            continue;
        }
        if found.command.is_some() {
            break;
        }
        match (found.words, word) {
            ([], b"mod") => found.words = &["mod"],
            ([], b"work") => found.words = &["work"],
            _ => {
                let Some(command) = command_below(found.words, word) else {
                    break;
                };
                found.words = command.words;
                found.command = Some(command);
            }
        }
        found.next += 1;
    }
    found
}

fn command_below(group: &[&str], word: &[u8]) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .chain(&WORK_LOCAL)
        .find(|command| match (group, command.words) {
            ([], [name]) => name.as_bytes() == word,
            ([group], [first, name]) => group == first && name.as_bytes() == word,
            _ => false,
        })
}

type ChdirValue = (usize, usize);

/// `-C dir`, `--C dir`, `-C=dir` or `--C=dir` at `index`: where its value is, and the argument behind it.
fn chdir_flag<A: ArgList + ?Sized>(args: &A, index: usize) -> Option<(ChdirValue, usize)> {
    let word = args.word(index)?;
    match word {
        b"-C" | b"--C" => {
            args.word(index + 1)?;
            Some(((index + 1, 0), index + 2))
        }
        [b'-', b'C', b'=', ..] => Some(((index, 3), index + 1)),
        [b'-', b'-', b'C', b'=', ..] => Some(((index, 4), index + 1)),
        _ => None,
    }
}

#[derive(Default)]
struct Line {
    settings: Settings,
    help: bool,
    /// The first argument that is neither flag nor value of one.
    end: usize,
}

fn read_line<A: ArgList + ?Sized>(args: &A, start: usize, command: &'static Command) -> Line {
    let mut line = Line::default();
    let mut flags = Flags::of_command(args, start, command);
    while let Some(flag) = flags.next_flag() {
        if matches!(flag.name, b"h" | b"help" | b"?") {
            line.help = true;
        }
        line.settings.take(command, (flag.name, flag.value));
    }
    line.end = flags.end();
    line
}

/// The flags that decide about the treatment; a later one of the same name wins.
#[derive(Clone, Copy, Default)]
struct Settings {
    mod_seen: bool,
    vendor: bool,
    toolexec: Option<bool>,
    vettool: Option<bool>,
    exec: Option<bool>,
}

impl Settings {
    fn take(&mut self, command: &Command, (name, value): (&[u8], Option<&[u8]>)) {
        let has = |what| command.accepts & what != 0;
        let filled = value.is_some_and(|value| !value.is_empty());
        match name {
            b"mod" if has(MOD) => {
                self.mod_seen = true;
                self.vendor = value == Some(b"vendor");
            }
            b"toolexec" if has(TOOLEXEC) => self.toolexec = Some(filled),
            b"vettool" | b"fixtool" if has(VETTOOL) => self.vettool = Some(filled),
            b"exec" if has(EXEC) => self.exec = Some(filled),
            _ => {}
        }
    }

    /// Puts what the command line says above what GOFLAGS says.
    fn merge(&mut self, line: Self) {
        if line.mod_seen {
            self.vendor = line.vendor;
        }
        self.toolexec = line.toolexec.or(self.toolexec);
        self.vettool = line.vettool.or(self.vettool);
        self.exec = line.exec.or(self.exec);
    }

    fn program(&self) -> Option<&'static str> {
        [
            ("toolexec", self.toolexec),
            ("vettool", self.vettool),
            ("exec", self.exec),
        ]
        .into_iter()
        .find(|(_, set)| *set == Some(true))
        .map(|(name, _)| name)
    }
}

/// No name at all (go lists its tools then) or the name of one that comes with go.
fn is_builtin_tool(name: Option<&[u8]>) -> bool {
    name.is_none_or(|name| BUILTIN_TOOLS.iter().any(|tool| tool.as_bytes() == name))
}

/// One flag of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag<'a> {
    /// The name without its dashes.
    pub name: &'a [u8],
    /// The value behind `=` or in the next argument; `None` for a switch.
    pub value: Option<&'a [u8]>,
}

/// Walks over the flags of a command line as go does. Where its flags end, the walk ends.
pub struct Flags<'a, A: ArgList + ?Sized> {
    args: &'a A,
    next: usize,
    accepts: u8,
    generic: bool,
    packages: Packages,
    list: (usize, usize),
    may_be_value: bool,
    done: bool,
}

/// How far `go test` is with its package list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packages {
    Expected,
    Inside,
    Over,
}

impl<'a, A: ArgList + ?Sized> Flags<'a, A> {
    /// The flags behind the command words `words`, from the argument at `start` on.
    pub fn new(args: &'a A, start: usize, words: &[&str]) -> Self {
        let command = COMMANDS
            .iter()
            .chain(&WORK_LOCAL)
            .find(|command| command.words == words);
        Self::with(args, start, command.map_or(0, |command| command.accepts))
    }

    fn of_command(args: &'a A, start: usize, command: &Command) -> Self {
        Self::with(args, start, command.accepts)
    }

    fn with(args: &'a A, start: usize, accepts: u8) -> Self {
        Self {
            args,
            next: start,
            accepts,
            generic: accepts & TEST == 0,
            packages: Packages::Expected,
            list: (start, start),
            may_be_value: false,
            done: false,
        }
    }

    /// The next flag; `None` where the flags have ended.
    pub fn next_flag(&mut self) -> Option<Flag<'a>> {
        while !self.done {
            let args: &'a A = self.args;
            let Some(word) = args.word(self.next) else { break };
            let after_switch = core::mem::take(&mut self.may_be_value);
            if word == b"--" {
                // Package flag drops the terminator; go test keeps it for the test binary.
                self.next += usize::from(self.generic);
                break;
            }
            if !looks_like_flag(word) {
                if self.generic || (self.packages == Packages::Over && !after_switch) {
                    break;
                }
                let first = self.packages == Packages::Expected;
                if self.packages != Packages::Over {
                    self.packages = Packages::Inside;
                    self.list = (if first { self.next } else { self.list.0 }, self.next + 1);
                }
                self.next += 1;
                continue;
            }
            if self.packages == Packages::Inside {
                self.packages = Packages::Over;
            }
            return self.take_flag(word);
        }
        self.done = true;
        None
    }

    fn take_flag(&mut self, word: &'a [u8]) -> Option<Flag<'a>> {
        let (name, mut value) = split_flag(word);
        self.next += 1;
        if !self.generic && !knows_test_flag(name) {
            if name == b"args" {
                self.done = true;
                return None;
            }
            self.packages = Packages::Over;
            self.may_be_value = value.is_none();
            return Some(Flag { name, value });
        }
        if value.is_none() && self.takes_value(name) {
            let args: &'a A = self.args;
            value = args.word(self.next);
            self.next += usize::from(value.is_some());
        }
        Some(Flag { name, value })
    }

    fn takes_value(&self, name: &[u8]) -> bool {
        match name {
            b"c"
            | b"printf.funcs"
            | b"printfuncs"
            | b"unusedfuncs"
            | b"unusedstringmethods"
            | b"unusedresult.funcs"
            | b"unusedresult.stringmethods" => self.accepts & VETTOOL != 0,
            b"fix" => self.accepts & FIX != 0,
            b"f" => self.accepts & FORMAT != 0,
            b"list" | b"vet" => self.accepts & TEST != 0,
            _ => is_value_flag(if self.generic {
                name
            } else {
                without_test_prefix(name)
            }),
        }
    }

    /// The first argument that is not a flag, once [`Flags::next_flag`] has returned `None`. For `go test` it is
    /// the first that go does not look at for itself; its packages come before it.
    pub fn end(&self) -> usize {
        self.next
    }

    /// The package list of `go test`, once the flags have ended: its first argument and the one behind its last.
    pub fn list(&self) -> (usize, usize) {
        self.list
    }
}

fn looks_like_flag(word: &[u8]) -> bool {
    match word {
        [b'-', b'-', third, ..] => !matches!(third, b'-' | b'='),
        [b'-', second, ..] => !matches!(second, b'-' | b'='),
        _ => false,
    }
}

/// Splits `-name=value` or `--name=value`.
fn split_flag(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    let name = word.strip_prefix(b"-").unwrap_or(word);
    let name = name.strip_prefix(b"-").unwrap_or(name);
    match name.iter().position(|&byte| byte == b'=') {
        Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..)),
        None => (name, None),
    }
}

fn is_value_flag(name: &[u8]) -> bool {
    VALUE_FLAGS.iter().any(|flag| flag.as_bytes() == name)
}

fn knows_test_flag(name: &[u8]) -> bool {
    let short = without_test_prefix(name);
    matches!(name, b"h" | b"help" | b"?" | b"list" | b"vet")
        || TEST_SWITCHES.iter().any(|flag| flag.as_bytes() == name)
        || is_value_flag(short) && !matches!(short, b"compat" | b"fixtool" | b"go" | b"reuse" | b"vettool")
}

fn without_test_prefix(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"test.").unwrap_or(name)
}

/// The words of GOFLAGS, quoted as cmd/internal/quoted has it: a word may begin with a single or double quote
/// and then ends with the next one. A quote without its partner makes go refuse the whole value; the words
/// before it are all that is seen here.
#[derive(Clone, Debug)]
pub struct GoFlags<'a> {
    left: &'a [u8],
}

impl<'a> GoFlags<'a> {
    /// The words of one value of GOFLAGS.
    pub fn new(value: &'a [u8]) -> Self {
        Self { left: value }
    }
}

impl<'a> Iterator for GoFlags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let start = self.left.iter().position(|byte| !is_space(byte))?;
        let left = self.left.get(start..)?;
        let (word, rest) = match left {
            [quote @ (b'"' | b'\''), quoted @ ..] => {
                let Some(end) = quoted.iter().position(|byte| byte == quote) else {
                    self.left = &[];
                    return None;
                };
                (quoted.get(..end)?, quoted.get(end + 1..)?)
            }
            _ => {
                let end = left.iter().position(is_space).unwrap_or(left.len());
                (left.get(..end)?, left.get(end..)?)
            }
        };
        self.left = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Line<'a>(&'a [&'a str]);

    impl ArgList for Line<'_> {
        fn word(&self, index: usize) -> Option<&[u8]> {
            self.0.get(index).map(|word| word.as_bytes())
        }
    }

    fn decide_line(line: &[&str], goflags: &str) -> Decision {
        decide(&Line(line), Some(goflags.as_bytes()))
    }

    fn treatment(line: &str) -> Treatment {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        decide_line(&words, "").treatment
    }

    #[track_caller]
    fn all(expected: Treatment, lines: &[&str]) {
        for line in lines {
            assert_eq!(treatment(line), expected, "go {line}");
        }
    }

    #[test]
    fn commands_without_modules_are_passed_through() {
        all(
            Treatment::Pass,
            &[
                "",
                "version",
                "version -m x",
                "env GOPROXY",
                "help",
                "help mod tidy",
                "fmt ./...",
                "clean -modcache",
                "doc fmt",
                "bug",
                "telemetry off",
                "mod init m",
                "mod edit -json",
                "work init",
                "work use .",
                "work edit -print",
            ],
        );
    }

    #[test]
    fn the_packages_of_a_test_stand_in_one_piece() {
        for (line, list) in [
            ("", ""),
            ("./a ./b", "./a ./b"),
            ("-v -run x ./a -count 1 ./b", "./a"),
            ("./a -args ./b", "./a"),
            ("-unknown ./a", ""),
        ] {
            let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
            let line = Line(&words);
            let mut flags = Flags::new(&line, 0, &["test"]);
            while flags.next_flag().is_some() {}
            let (start, end) = flags.list();
            assert_eq!(words[start..end].join(" "), list);
        }
    }

    #[test]
    fn unknown_words_are_passed_through() {
        all(
            Treatment::Pass,
            &[
                "frob",
                "Build",
                "build.",
                "mod",
                "mod frob",
                "mod help tidy",
                "work",
                "work tidy",
                "tidy",
                "-v build",
                "-version",
                "-- build",
                "-C",
                "mod -C",
                "download",
            ],
        );
    }

    #[test]
    fn fetching_commands_are_supervised() {
        all(
            Treatment::Supervised,
            &[
                "mod tidy",
                "mod download",
                "mod vendor",
                "mod why -m x",
                "mod graph",
                "mod verify",
                "get x@latest",
                "install x@latest",
                "build",
                "build ./...",
                "vet",
                "list -m all",
                "work sync",
                "work vendor",
            ],
        );
    }

    #[test]
    fn commands_that_run_user_code_are_carried() {
        all(
            Treatment::Carried,
            &[
                "test",
                "test ./...",
                "run .",
                "generate ./...",
                "fix ./...",
                "tool stringer",
                "tool x/y/cmd/z",
            ],
        );
    }

    #[test]
    fn tools_that_come_with_go_are_passed_through() {
        all(
            Treatment::Pass,
            &[
                "tool",
                "tool -n",
                "tool compile -V",
                "tool -n vet",
                "tool -modfile f pprof",
                "tool -modfile=f nm",
            ],
        );
        all(
            Treatment::Carried,
            &["tool -n stringer", "tool -modfile compile stringer"],
        );
    }

    #[test]
    fn chdir_stands_in_three_places() {
        for (line, treatment, words, value, rest) in [
            (
                &["-C", "d", "mod", "tidy", "-v"][..],
                Treatment::Supervised,
                &["mod", "tidy"][..],
                Some((1, 0)),
                4,
            ),
            (
                &["mod", "-C", "d", "tidy", "-v"],
                Treatment::Supervised,
                &["mod", "tidy"],
                Some((2, 0)),
                4,
            ),
            (
                &["mod", "tidy", "-C", "d", "-v"],
                Treatment::Supervised,
                &["mod", "tidy"],
                Some((3, 0)),
                4,
            ),
            (
                &["--C=d", "version"],
                Treatment::Pass,
                &["version"],
                Some((0, 4)),
                2,
            ),
            (
                &["-C=", "build"],
                Treatment::Supervised,
                &["build"],
                Some((0, 3)),
                2,
            ),
            (
                &["build", "-v", "-C", "d"],
                Treatment::Supervised,
                &["build"],
                None,
                1,
            ),
            // A directory may be called like a command, or like a flag.
            (
                &["-C", "build", "run", "."],
                Treatment::Carried,
                &["run"],
                Some((1, 0)),
                3,
            ),
            (
                &["build", "-C", "-mod=vendor"],
                Treatment::Supervised,
                &["build"],
                Some((2, 0)),
                3,
            ),
            // Only one is go's; the second is a flag error, which go reports.
            (
                &["-C", "a", "-C", "b", "build"],
                Treatment::Pass,
                &[],
                Some((1, 0)),
                2,
            ),
            (&["mod", "-C", "tidy"], Treatment::Pass, &["mod"], Some((2, 0)), 3),
        ] {
            let decision = decide_line(line, "");
            assert_eq!(decision.treatment, treatment, "{line:?}");
            assert_eq!(decision.words, words, "{line:?}");
            assert_eq!(decision.chdir, value, "{line:?}");
            assert_eq!(decision.rest, rest, "{line:?}");
        }
    }

    #[test]
    fn vendoring_needs_no_network() {
        all(
            Treatment::Pass,
            &[
                "build -mod=vendor",
                "build --mod=vendor ./...",
                "build -mod vendor",
                "build -v -mod=vendor",
                "install -mod=vendor",
                "list -mod=vendor -m all",
                "run -mod=vendor . -x",
                "test -mod=vendor",
                "test ./... -mod=vendor",
                "vet -mod=vendor",
                "build -mod=mod -mod=vendor",
                "-C d build -mod=vendor",
                "build -ldflags -X=y -mod=vendor",
                "build -o -mod=mod -mod=vendor",
                "test -run X -mod vendor ./...",
                "test -custom value -mod=vendor",
                "test -c -mod=vendor",
                "vet -c 3 -mod=vendor",
                "list -f {{.Dir}} -mod=vendor",
            ],
        );
    }

    #[test]
    fn vendoring_is_seen_only_where_go_sees_it() {
        all(
            Treatment::Supervised,
            &[
                "build -mod=mod",
                "build -mod=vendor -mod=mod",
                "build . -mod=vendor",
                "build -- -mod=vendor",
                "build -o -mod=vendor",
                "build -tags -mod=vendor",
                "build -mod=vendored",
                "build ---mod=vendor",
                "mod tidy -mod=vendor",
                "get -mod=vendor",
                "list -mod=readonly",
                "vet . -mod=vendor",
                "build -mod",
            ],
        );
        all(
            Treatment::Carried,
            &[
                "run . -mod=vendor",
                "test . -args -mod=vendor",
                "test . -- -mod=vendor",
                "test -run -mod=vendor",
                // After the packages and an unknown flag with a value, the next word ends what is go's.
                "test . -custom=v x -mod=vendor",
                "generate -mod=vendor",
                "fix -mod=vendor",
            ],
        );
    }

    #[test]
    fn goflags_counts_where_the_line_says_nothing() {
        for (line, goflags, expected) in [
            (&["build"][..], "-mod=vendor", Treatment::Pass),
            (&["build"], "  -v   --mod=vendor ", Treatment::Pass),
            (&["build"], "'-mod=vendor' -v", Treatment::Pass),
            (&["build"], "\"-ldflags=-s -w\" -mod=vendor", Treatment::Pass),
            (&["build"], "'-ldflags=-mod=vendor'", Treatment::Supervised),
            (&["build", "-mod=mod"], "-mod=vendor", Treatment::Supervised),
            (&["build", "-mod=vendor"], "-mod=mod", Treatment::Pass),
            (&["mod", "tidy"], "-mod=vendor", Treatment::Supervised),
            (&["get", "x"], "-mod=vendor", Treatment::Supervised),
            (&["build"], "-toolexec=time", Treatment::Carried),
            (&["build", "-toolexec="], "-toolexec=time", Treatment::Supervised),
            (&["mod", "tidy"], "-toolexec=time", Treatment::Supervised),
            (&["build"], "-exec=time", Treatment::Supervised),
            (&["vet"], "-vettool=/x", Treatment::Carried),
            (&["build"], "-v 'unterminated -mod=vendor", Treatment::Supervised),
        ] {
            assert_eq!(
                decide_line(line, goflags).treatment,
                expected,
                "GOFLAGS={goflags} go {line:?}"
            );
        }
    }

    #[test]
    fn programs_of_the_user_make_a_command_carried() {
        for (line, flag) in [
            (&["build", "-toolexec=time"][..], Some("toolexec")),
            (&["build", "-toolexec", "time -p"], Some("toolexec")),
            (&["list", "-toolexec=x", "-export"], Some("toolexec")),
            (&["get", "-toolexec=x"], Some("toolexec")),
            (&["vet", "-vettool=/x"], Some("vettool")),
            (&["vet", "--vettool", "/x"], Some("vettool")),
            (&["fix", "-fixtool=/x"], Some("vettool")),
            (&["test", "-exec=qemu"], Some("exec")),
            (&["test", "-exec", "qemu"], Some("exec")),
            (&["test"], None),
        ] {
            let decision = decide_line(line, "");
            assert_eq!(decision.treatment, Treatment::Carried, "{line:?}");
            assert_eq!(decision.program_flag, flag, "{line:?}");
        }
        all(
            Treatment::Supervised,
            &[
                "build -toolexec=",
                "build . -toolexec=x",
                "build -o -toolexec=x",
                "build -exec=x",
                "mod tidy -toolexec=x",
            ],
        );
    }

    #[test]
    fn help_flags_print_usage_and_fetch_nothing() {
        all(
            Treatment::Pass,
            &[
                "build -h",
                "mod tidy --help",
                "test -help",
                "get -x -h",
                "run -h .",
            ],
        );
        all(Treatment::Carried, &["run . -h", "test . -args -h"]);
    }

    #[test]
    fn goflags_words_are_quoted_as_go_quotes_them() {
        let words = |value: &'static str| -> Vec<&[u8]> { GoFlags::new(value.as_bytes()).collect() };
        assert_eq!(
            words(" -a\t-b\n'-c d'\"-e 'f'\"-g "),
            [&b"-a"[..], b"-b", b"-c d", b"-e 'f'", b"-g"]
        );
        assert_eq!(words("-a'b c'"), [&b"-a'b"[..], b"c'"]);
        assert_eq!(words(""), [&b""[..]; 0]);
        assert_eq!(words("-a 'b"), [b"-a"]);
    }

    /// A generator of numbers that needs no crate and gives the same ones every time (xorshift64).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % limit as u64).unwrap()
        }
    }

    const PIECES: [&str; 40] = [
        "go",
        "mod",
        "work",
        "tidy",
        "build",
        "test",
        "run",
        "list",
        "vet",
        "tool",
        "get",
        "-C",
        "--C",
        "-C=",
        "-C=d",
        "-",
        "--",
        "---",
        "-=",
        "--=",
        "-mod",
        "-mod=",
        "-mod=vendor",
        "vendor",
        "-toolexec",
        "-toolexec=x",
        "-exec=",
        "-h",
        "-args",
        "./...",
        "",
        "=",
        "-\u{e9}",
        "-o",
        "-v",
        "-run",
        "-vettool=x",
        "compile",
        "-custom",
        "-c",
    ];

    fn random_line(numbers: &mut Numbers) -> Vec<&'static str> {
        let len = numbers.below(9);
        (0..len).map(|_| PIECES[numbers.below(PIECES.len())]).collect()
    }

    #[test]
    fn any_line_gets_a_sound_decision() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..200_000 {
            let line = random_line(&mut numbers);
            let goflags = random_line(&mut numbers).join(" ");
            let decision = decide_line(&line, &goflags);
            let used = decision.words.len() + chdir_arguments(&decision);
            assert_eq!(decision.rest, used, "{line:?}");
            assert!(decision.rest <= line.len(), "{line:?}");
            assert!(
                decision.treatment == Treatment::Carried || decision.program_flag.is_none(),
                "{line:?}"
            );
            if let Some((index, skip)) = decision.chdir {
                assert!(index < decision.rest && skip <= line[index].len(), "{line:?}");
            }
            let mut words: Vec<&str> = line[..decision.rest].to_vec();
            if let Some((index, skip)) = decision.chdir {
                words.drain(if skip == 0 {
                    index - 1..=index
                } else {
                    index..=index
                });
            }
            assert_eq!(words, decision.words, "{line:?}");
        }
    }

    fn chdir_arguments(decision: &Decision) -> usize {
        match decision.chdir {
            None => 0,
            Some((_, 0)) => 2,
            Some(_) => 1,
        }
    }

    #[test]
    fn the_walk_over_flags_ends_and_stays_ended() {
        let mut numbers = Numbers(88_172_645_463_325_252);
        for _ in 0..100_000 {
            let line = random_line(&mut numbers);
            let words: &[&str] = if numbers.below(2) == 0 {
                &["test"]
            } else {
                &["build"]
            };
            let list = Line(&line);
            let mut flags = Flags::new(&list, 0, words);
            let mut seen = 0;
            while flags.next_flag().is_some() {
                seen += 1;
                assert!(seen <= line.len(), "{line:?}");
            }
            let end = flags.end();
            assert!(end <= line.len(), "{line:?}");
            assert!(flags.next_flag().is_none());
            assert_eq!(flags.end(), end, "{line:?}");
        }
    }
}
