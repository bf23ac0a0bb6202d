//! What gofix itself uses of the shim, in std's types.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::command::{self, Decision, Flags, Treatment};
use crate::path::CPath;
use crate::start::StartState;
use crate::toolchain::{self, Guard, Missing, Myself, Search};
use crate::{environment, process, shim};

/// What the user asked go to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What gofix does with it.
    pub treatment: Treatment,
    /// The command words that go knows, such as `["mod", "tidy"]`; empty where the first is unknown.
    pub words: Vec<&'static str>,
    /// The value of `-C`.
    pub chdir: Option<OsString>,
    /// The first of `args` behind the command words and `-C`.
    pub rest: usize,
    /// The flag that names a program of the user's (`toolexec`, `vettool`, `fixtool`, `exec`), if one is set. It may
    /// run under `-n` as well, so such a command gets no prefetch.
    pub program_flag: Option<&'static str>,
    /// All arguments as they were given, without the name of the program.
    pub args: Vec<OsString>,
}

/// Decides what to do with a command line (without the name of the program). `goflags` is the effective value
/// of GOFLAGS; the shim knows the environment only, gofix the GOENV file as well.
pub fn classify(args: &[OsString], goflags: Option<&OsStr>) -> Invocation {
    let decision: Decision = command::decide(args, goflags.map(OsStrExt::as_bytes));
    let chdir = decision
        .chdir
        .and_then(|(index, skip)| args.get(index)?.as_bytes().get(skip..));
    Invocation {
        treatment: decision.treatment,
        words: decision.words.to_vec(),
        chdir: chdir.map(|value| OsStr::from_bytes(value).to_owned()),
        rest: decision.rest,
        program_flag: decision.program_flag,
        args: args.to_vec(),
    }
}

impl Invocation {
    /// The command is this one, e.g. `invocation.is(&["mod", "tidy"])`.
    pub fn is(&self, words: &[&str]) -> bool {
        self.words == words
    }

    /// The value that the command line gives to the flag `name` (without dashes): `None` where it does not
    /// stand there, an empty string for a switch without `=`. The last one counts.
    pub fn flag(&self, name: &str) -> Option<OsString> {
        let mut flags = self.flags();
        let mut found = None;
        while let Some(flag) = flags.next_flag() {
            if flag.name == name.as_bytes() {
                found = Some(OsStr::from_bytes(flag.value.unwrap_or_default()).to_owned());
            }
        }
        found
    }

    /// The switch `name` (without dashes) is on: it stands on the command line, and not with a value that Go
    /// reads as false.
    pub fn switch(&self, name: &str) -> bool {
        self.flag(name).is_some_and(|value| is_on(&value))
    }

    /// The arguments behind the flags: packages, modules, or what else the command takes. For `go test` these
    /// are the arguments that go hands to the test binary unseen.
    pub fn operands(&self) -> &[OsString] {
        let mut flags = self.flags();
        while flags.next_flag().is_some() {}
        self.args.get(flags.end()..).unwrap_or_default()
    }

    /// Those of the operands that are go's own: `run` takes a package or the .go files in front, `tool` a name, and
    /// the rest is the program's.
    pub fn own_operands(&self) -> &[OsString] {
        let operands = self.operands();
        let is_file = |operand: &&OsString| operand.as_bytes().ends_with(b".go");
        let own = match self.words.as_slice() {
            ["run"] => operands.iter().take_while(is_file).count().max(1),
            ["tool"] => 1,
            _ => operands.len(),
        };
        operands.get(..own).unwrap_or(operands)
    }

    /// The packages that a command line names, of a command that takes packages.
    pub fn packages(&self) -> &[OsString] {
        if !self.is(&["test"]) {
            return self.own_operands();
        }
        let mut flags = self.flags();
        while flags.next_flag().is_some() {}
        let (start, end) = flags.list();
        self.args.get(start..end).unwrap_or_default()
    }

    fn flags(&self) -> Flags<'_, [OsString]> {
        Flags::new(self.args.as_slice(), self.rest, &self.words)
    }
}

/// The value of a switch, empty where it stands alone, is not one that Go reads as false.
pub fn is_on(value: &OsStr) -> bool {
    !matches!(
        value.as_bytes(),
        b"0" | b"f" | b"F" | b"false" | b"False" | b"FALSE"
    )
}

/// The words of a value of GOFLAGS.
pub fn split_goflags(value: &OsStr) -> Vec<OsString> {
    command::GoFlags::new(value.as_bytes())
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect()
}

/// The go that would have run without gofix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealGo {
    /// Its path as found, symbolic links kept.
    pub path: PathBuf,
    /// The value that the variable [`toolchain::GUARD`] must have for it; `None`: its environment is the user's,
    /// and none of that variable in it.
    pub guard: Option<OsString>,
}

impl RealGo {
    /// A command that runs it under the name `go`, with these variables set, and where one has to go along the guard,
    /// which then names the child. The rest of the environment is that of this process, byte for byte and in its order; whoever sets
    /// more by std's own methods loses that.
    ///
    /// # Errors
    /// `InvalidInput` where a value holds a NUL.
    pub fn command(&self, changes: &[(&str, OsString)]) -> std::io::Result<std::process::Command> {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new(&self.path);
        command.arg0("go");
        let guard = self
            .guard
            .as_ref()
            .and_then(|guard| Guard::parse(guard.as_bytes()));
        environment::set(&mut command, changes, guard)?;
        Ok(command)
    }

    /// Replaces this process by it, with this environment; signals and descriptors go on as `start` found them.
    /// Returns only where that failed: the exit status, after one line on stderr.
    #[expect(unsafe_code, reason = "exec with the environment as it is, byte for byte")]
    pub fn exec(&self, args: &[OsString], start: &StartState) -> i32 {
        let mut path = CPath::new();
        path.set(&[self.path.as_os_str().as_bytes()]);
        let words: Vec<CString> = args
            .iter()
            .filter_map(|arg| CString::new(arg.as_bytes()).ok())
            .collect();
        let mut argv = vec![c"go".as_ptr()];
        argv.extend(words.iter().map(|word| word.as_ptr()));
        argv.push(std::ptr::null());
        start.restore();
        // SAFETY: argv ends with a null pointer, its strings live until the end of this function. setenv is the
        // last thing before exec; what other threads read meanwhile ends with them.
        let error = unsafe {
            let guard = self.guard.as_ref();
            match guard.and_then(|guard| CString::new(guard.as_bytes()).ok()) {
                Some(guard) => process::set_variable(toolchain::GUARD_C, &guard),
                None => process::unset_variable(toolchain::GUARD_C),
            }
            process::exec(&path, argv.as_ptr(), argv.len() - 1)
        };
        shim::cannot_execute(&path, error)
    }
}

/// Why there is no go to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// 126 where something is there that may not be executed, else 127.
    pub status: i32,
    /// What to say, in whole lines, each with `gofix: ` in front: the walk over PATH, or what is wrong with
    /// GOFIX_GO.
    pub message: Vec<u8>,
}

/// The variables that decide which go is the real one.
#[derive(Clone, Debug, Default)]
pub struct SearchEnv {
    /// PATH.
    pub path: Option<OsString>,
    /// GOFIX_GO.
    pub gofix_go: Option<OsString>,
    /// The variable [`toolchain::GUARD`].
    pub guard: Option<OsString>,
}

impl SearchEnv {
    /// Those of this process.
    pub fn current() -> Self {
        Self {
            path: std::env::var_os("PATH"),
            gofix_go: std::env::var_os("GOFIX_GO"),
            guard: std::env::var_os(toolchain::GUARD),
        }
    }

    fn search(&self) -> Search<'_> {
        Search {
            path: bytes(self.path.as_ref()),
            gofix_go: bytes(self.gofix_go.as_ref()),
            guard: bytes(self.guard.as_ref()),
            pid: std::process::id(),
        }
    }
}

fn bytes(value: Option<&OsString>) -> Option<&[u8]> {
    value.map(|value| value.as_bytes())
}

/// Finds the real go: GOFIX_GO, else the first `go` in PATH behind the last entry whose `go` is gofix; see
/// [`toolchain`]. To be called from the executable gofix: what counts as gofix is that and the shim beside it.
pub fn find_real_go(env: &SearchEnv) -> Result<RealGo, NotFound> {
    let search = env.search();
    let me = Myself::current(b"go", &mut CPath::new());
    let mut go = CPath::new();
    match toolchain::find(&search, &me, &mut go) {
        Ok(guard) => Ok(RealGo {
            path: to_path(go.bytes()),
            guard: guard.as_ref().map(guard_text),
        }),
        Err(why) => Err(not_found(why, &search, &me)),
    }
}

fn not_found(why: Missing, search: &Search<'_>, me: &Myself) -> NotFound {
    let mut message = Vec::new();
    toolchain::explain(why, search, me, &mut |text| message.extend_from_slice(text));
    NotFound {
        status: why.status(),
        message,
    }
}

fn guard_text(guard: &Guard) -> OsString {
    OsString::from_vec(guard.format(&mut [0; toolchain::GUARD_SIZE]).to_vec())
}

fn to_path(bytes: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(bytes)).to_owned()
}

/// What the shim hands over to gofix in its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The real go that the shim found.
    pub go: RealGo,
    /// The user's arguments, without the name of the program.
    pub args: Vec<OsString>,
    /// The number of the protocol is the one that this gofix knows.
    pub understood: bool,
}

impl HandOver {
    /// Reads gofix's own arguments (without the name of the program); `None` where they are no hand-over. Of a
    /// protocol with another number only the real go and, behind one word, the arguments are taken for granted.
    pub fn read(args: &[OsString]) -> Option<Self> {
        let [word, number, path, guard, rest @ ..] = args else {
            return None;
        };
        if word.as_bytes() != shim::PROTOCOL_WORD.to_bytes() {
            return None;
        }
        let guard = (!guard.is_empty()).then(|| guard.clone());
        Some(Self {
            go: RealGo {
                path: PathBuf::from(path),
                guard,
            },
            args: rest.to_vec(),
            understood: number.as_bytes() == shim::PROTOCOL.to_bytes(),
        })
    }
}
