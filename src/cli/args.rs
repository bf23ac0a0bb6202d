//! The command line of `gofix`, defined once: parsing, `--help`, completions and man pages all come from here.
//!
//! The go commands stand here so that help and completions know them; their arguments are never given to clap, which would
//! take a `--` or a `--help` for its own. [`split`] finds the command word, and what follows it goes to go as it is.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::config::{Flag, Flags};

/// Makes the go command survive a bad network.
#[derive(Debug, Parser)]
#[command(
    name = "gofix",
    version,
    about = "Makes the go command survive a bad network",
    long_about = None,
    styles = STYLES,
    help_template = "{about}\n\n{usage-heading} {usage}{after-help}\n\n{before-help}Settings, before the command (else variables, then files):\n{options}",
    subcommand_value_name = "COMMAND",
    arg_required_else_help = true,
    args_override_self = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Settings of this one command.
    #[command(flatten)]
    pub settings: Settings,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings of one command: they win over the variables and the files.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings for this command (else variables, then files)")]
pub struct Settings {
    /// Routes behind your own GOPROXY, in order: lists or preset:NAME
    #[arg(long, value_name = "LIST;LIST", value_hint = ValueHint::Other)]
    pub routes: Option<OsString>,

    /// Whether later routes may be used
    #[arg(long, value_name = "WHEN", value_parser = ["auto", "always", "never"])]
    pub widen: Option<String>,

    /// Whether a GOPROXY on loopback stands in between
    #[arg(long, value_name = "WHEN", value_parser = ["off", "on", "auto"])]
    pub relay: Option<String>,

    /// What may be repaired in the module cache
    #[arg(long, value_name = "WHAT", value_parser = ["off", "module", "all"])]
    pub repair: Option<String>,

    /// Further runs of go for one route after a fault
    #[arg(long, value_name = "N", value_hint = ValueHint::Other)]
    pub retry_count: Option<OsString>,

    /// Time for everything together: 10m, 90s
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other)]
    pub budget: Option<OsString>,

    /// Connect clock of the relay for each address
    #[arg(long, value_name = "MS", value_hint = ValueHint::Other)]
    pub timeout_ms: Option<OsString>,

    /// Stall clock: go is ended and tried again after so long a silence
    #[arg(long, value_name = "MS", value_hint = ValueHint::Other)]
    pub stall_ms: Option<OsString>,

    /// Append every event to this file, one JSON object a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<OsString>,

    /// How much gofix says
    #[arg(long, value_name = "LEVEL", value_parser = ["quiet", "normal", "debug"])]
    pub log: Option<String>,
}

impl Settings {
    /// The settings that were given, as the topmost layer of the configuration.
    pub fn flags(&self) -> Flags {
        let word = |text: &Option<String>| text.as_ref().map(OsString::from);
        let given = [
            ("routes", "--routes", self.routes.clone()),
            ("widen", "--widen", word(&self.widen)),
            ("relay", "--relay", word(&self.relay)),
            ("repair", "--repair", word(&self.repair)),
            ("retry_count", "--retry-count", self.retry_count.clone()),
            ("budget", "--budget", self.budget.clone()),
            ("timeout_ms", "--timeout-ms", self.timeout_ms.clone()),
            ("stall_ms", "--stall-ms", self.stall_ms.clone()),
            ("report", "--report", self.report.clone()),
            ("log", "--log", word(&self.log)),
        ];
        Flags(
            given
                .into_iter()
                .filter_map(|(key, flag, value)| {
                    Some(Flag {
                        key,
                        flag,
                        value: value?,
                    })
                })
                .collect(),
        )
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// go mod tidy
    Tidy(GoArgs),
    /// go mod download
    Download(GoArgs),
    /// go mod vendor
    Vendor(GoArgs),
    /// go mod verify
    Verify(GoArgs),
    /// go mod graph
    Graph(GoArgs),
    /// go mod why
    Why(GoArgs),
    /// go get
    Get(GoArgs),
    /// go build
    Build(GoArgs),
    /// go install
    Install(GoArgs),
    /// go list
    List(GoArgs),
    /// go vet
    Vet(GoArgs),
    /// go test
    Test(GoArgs),
    /// go run
    Run(GoArgs),
    /// go generate
    Generate(GoArgs),
    /// go tool
    Tool(GoArgs),
    /// go mod ...
    Mod(GoArgs),
    /// go work ...
    Work(GoArgs),
    /// Any go command
    Go(GoArgs),

    /// Find out what is wrong with the network and the set-up
    Doctor(Doctor),
    /// Read go's error text from a file or a pipe, and say what it means
    Explain(Explain),
    /// The routes: which proxies may be asked, in which order
    Routes(Routes),
    /// Wait until every proxy serves a version that was just released
    Wait(Wait),
    /// The module cache: verify it, mend it
    Cache(Cache),
    /// Put gofix in front of go, or take it away
    Shim(Shim),
    /// Show gofix at work against bad proxies on this machine
    Rehearse(Rehearse),
    /// Read the reports that GOFIX_REPORT wrote
    Report(Report),
    /// The recipe for the system that builds your project
    Ci(Ci),
    /// The configuration: what holds, and where it comes from
    Config(Config),
    /// Completions for a shell
    Completions(Completions),
    /// The manual page
    Man(Man),
}

/// The arguments of a go command; go reads them, not gofix.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
go reads these arguments itself, so `gofix tidy -h` shows go's own help. Settings of gofix stand before the command:
  gofix --budget 3m tidy -v"
)]
pub struct GoArgs {
    /// Arguments for go
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true, value_hint = ValueHint::AnyPath)]
    pub args: Vec<OsString>,
}

/// The commands that are go commands: the word, and what go is called with.
pub const GO_COMMANDS: &[(&str, &[&str])] = &[
    ("tidy", &["mod", "tidy"]),
    ("download", &["mod", "download"]),
    ("vendor", &["mod", "vendor"]),
    ("verify", &["mod", "verify"]),
    ("graph", &["mod", "graph"]),
    ("why", &["mod", "why"]),
    ("get", &["get"]),
    ("build", &["build"]),
    ("install", &["install"]),
    ("list", &["list"]),
    ("vet", &["vet"]),
    ("test", &["test"]),
    ("run", &["run"]),
    ("generate", &["generate"]),
    ("tool", &["tool"]),
    ("mod", &["mod"]),
    ("work", &["work"]),
    ("go", &[]),
];

/// `gofix doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks only servers that your own values name, for one public module, and takes at most ten seconds.

Exit status: 0 nothing to mend, 1 warnings, 3 something is broken.

Examples:
  gofix doctor           one table, worst first, each row with the command that mends it
  gofix doctor --json    the same for a program
  gofix doctor --module git.corp.example/lib@v1.2.0   a proxy that has only your own modules")]
pub struct Doctor {
    /// One JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Ask the proxies for this module instead of golang.org/x/text
    #[arg(long, value_name = "MODULE@VERSION")]
    pub module: Option<String>,
}

/// `gofix explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  go mod tidy 2>&1 | gofix explain
  gofix explain build.log
  gofix explain --json build.log | jq -r .verdict")]
pub struct Explain {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// The saved output; standard input where it is missing or -
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// `gofix routes`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  gofix routes                                   what may be asked, and who learns module names
  gofix routes use cn                            the preset cn, and nothing else
  gofix routes add 'https://goproxy.cn,direct'   one more route, behind the others
  gofix routes test                              ask each proxy now
  gofix routes reset                             only your own GOPROXY again"
)]
pub struct Routes {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// What to do; without it the routes are shown.
    #[command(subcommand)]
    pub action: Option<RoutesAction>,
}

/// What `gofix routes` can do.
#[derive(Debug, Subcommand)]
pub enum RoutesAction {
    /// Show the routes, and who learns module names
    List {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Add routes behind those of your file
    Add {
        /// GOPROXY lists, or preset:NAME
        #[arg(value_name = "LIST", required = true)]
        lists: Vec<String>,
        /// Put them in front of the others
        #[arg(long)]
        first: bool,
    },
    /// Remove a route from your file
    Remove {
        /// The list as written, preset:NAME, or its number in `gofix routes`
        #[arg(value_name = "LIST|NUMBER", required = true)]
        routes: Vec<String>,
    },
    /// Replace the routes of your file
    Use {
        /// A preset's name, or GOPROXY lists
        #[arg(value_name = "PRESET|LIST", required = true)]
        routes: Vec<String>,
    },
    /// Ask every proxy of every route for a module, now
    Test {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove the routes from your file
    Reset,
    /// The presets: their proxies, who runs them, when they were last seen to work
    Presets {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `gofix wait`.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks every proxy of your GOPROXY for the version, then the checksum database. A 404 is waited out for as long as the
server says that it remembers it (Cache-Control, Age); a 401, a 403 or a bad certificate ends the wait.

Exit status: 0 all serve it, 1 refused, 124 the time is over.

Examples:
  gofix wait example.com/lib@v1.4.0               in a release pipeline, behind `git push --tags`
  gofix wait --for 30m example.com/lib@v1.4.0     for longer than a quarter of an hour
  gofix wait --json example.com/lib@v1.4.0 | jq .servers")]
pub struct Wait {
    /// The versions to wait for
    #[arg(value_name = "MODULE@VERSION", required = true, value_hint = ValueHint::Other)]
    pub modules: Vec<String>,
    /// How long: 15m, 90s
    #[arg(long = "for", value_name = "TIME", default_value = "15m", value_hint = ValueHint::Other)]
    pub limit: String,
    /// One JSON object, at the end
    #[arg(long)]
    pub json: bool,
}

/// `gofix cache`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gofix cache verify                          everything in the module cache
  gofix cache verify github.com/google/uuid   one module
  gofix cache repair --dry-run                what would be set aside
  gofix cache repair                          set it aside; go fetches it again
  gofix cache list                            what is set aside, and until when
  gofix cache restore                         put the last of it back")]
pub struct Cache {
    /// What to do.
    #[command(subcommand)]
    pub action: CacheAction,
}

/// What `gofix cache` can do.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Look for what is damaged; changes nothing
    Verify {
        /// Only this module, or this version of it
        #[arg(value_name = "MODULE[@VERSION]")]
        module: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Set aside what is proven bad, so that go fetches it again
    Repair {
        /// Only this module, or this version of it
        #[arg(value_name = "MODULE[@VERSION]")]
        module: Option<String>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Put back what was set aside, where nothing is now
    Restore {
        /// Which, as `gofix cache list` names it; the last where it is missing
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// What is set aside
    List {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `gofix shim`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gofix shim install                   for this user; says which files it edits
  gofix shim install --routes cn       and with the routes of the preset cn
  eval \"$(gofix shim install --print)\" edits no file: for this shell only
  gofix shim status                    which go wins where, and why
  gofix shim uninstall                 everything as it was")]
pub struct Shim {
    /// What to do.
    #[command(subcommand)]
    pub action: ShimAction,
}

/// What `gofix shim` can do.
#[derive(Debug, Subcommand)]
pub enum ShimAction {
    /// Put the shim into a folder of its own, and the folder first in PATH
    Install(ShimInstall),
    /// Take the shim and its PATH lines away
    Uninstall(ShimPlace),
    /// Name every go in PATH, which one wins where, and why
    Status(ShimStatus),
}

/// `gofix shim install`.
#[derive(Debug, Args)]
pub struct ShimInstall {
    /// Where to.
    #[command(flatten)]
    pub place: ShimPlace,
    /// Take the routes of this preset as well
    #[arg(long, value_name = "PRESET")]
    pub routes: Option<String>,
    /// Edit no file; print the line that puts the shim first, for this shell (else the one of $SHELL)
    #[arg(
        long,
        value_name = "SHELL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto",
        value_parser = ["auto", "bash", "zsh", "fish", "sh"]
    )]
    pub print: Option<String>,
}

/// Where the shim is.
#[derive(Debug, Default, Args)]
pub struct ShimPlace {
    /// The folder of the shim
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// For every user of this machine
    #[arg(long)]
    pub system: bool,
}

/// `gofix shim status`.
#[derive(Debug, Args)]
pub struct ShimStatus {
    /// Where it is.
    #[command(flatten)]
    pub place: ShimPlace,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `gofix rehearse`.
#[derive(Debug, Args)]
#[command(after_help = "\
No network is used and nothing of yours is touched: proxies, modules and caches are in a temporary folder.

Examples:
  gofix rehearse                  every scenario, plain go and gofix side by side
  gofix rehearse --list           the names of the scenarios
  gofix rehearse stalled-body     only this one")]
pub struct Rehearse {
    /// Only these scenarios
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Name the scenarios and do nothing
    #[arg(long)]
    pub list: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `gofix report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  GOFIX_REPORT=run.jsonl go mod download
  gofix report run.jsonl
  gofix report --html report.html artifacts/*.jsonl")]
pub struct Report {
    /// JSON lines files
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Write one self-contained page to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// The systems that `gofix ci` has a recipe for.
pub const CI_SYSTEMS: [&str; 8] = [
    "github",
    "gitlab",
    "jenkins",
    "circleci",
    "buildkite",
    "docker",
    "devcontainer",
    "make",
];

/// `gofix ci`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a name: the system whose job this is, else those that the files of this folder are for. docs/ci.md tells more of each.

Examples:
  gofix ci
  gofix ci docker")]
pub struct Ci {
    /// The system
    #[arg(value_name = "SYSTEM", value_parser = PossibleValuesParser::new(CI_SYSTEMS))]
    pub system: Option<String>,
}

/// `gofix config`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  gofix config          every setting, and where it comes from
  gofix config check    a mistake in a file or a variable is an error here
  $EDITOR \"$(gofix config path)\""
)]
pub struct Config {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// What to do; without it the settings are shown.
    #[command(subcommand)]
    pub action: Option<ConfigAction>,
}

/// What `gofix config` can do.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Show every setting, and where it comes from
    Show {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Exit 1 where anything in the configuration is wrong
    Check {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the path of your file
    Path,
}

/// `gofix completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gofix completions bash > ~/.local/share/bash-completion/completions/gofix
  gofix completions zsh > ~/.zfunc/_gofix
  gofix completions fish > ~/.config/fish/completions/gofix.fish
  gofix completions elvish > ~/.config/elvish/lib/gofix.elv     (and `use gofix` in rc.elv)
  gofix completions powershell | Out-String | Invoke-Expression (in $PROFILE)")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `gofix man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gofix man | man -l -
  gofix man --dir ~/.local/share/man/man1")]
pub struct Man {
    /// Write gofix.1 and a page for each command into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold());

/// The definition with the texts that are made from it: commands in two groups, examples, exit status.
pub fn definition() -> clap::Command {
    let command = Cli::command();
    let groups = groups(&command);
    let command = command.override_usage("gofix [SETTINGS] COMMAND [ARGUMENTS]...");
    command.before_help(groups).after_help(EXAMPLES).mut_args(|arg| {
        if arg.get_id() == "help" {
            arg.action(ArgAction::Help).help("Show this")
        } else {
            arg
        }
    })
}

const EXAMPLES: &str = "\
Examples:
  gofix tidy                         go mod tidy, through whatever the network does
  gofix --budget 3m download         the same for go mod download, in three minutes at most
  gofix go build -o app ./cmd/app    any go command, its arguments untouched
  gofix shim install                 and plain `go` is carried from now on
  gofix routes use cn                allow other proxies; says who learns module names
  gofix doctor                       what is wrong with this network

More: gofix help COMMAND, gofix help topics (what go's errors mean), gofix man | man -l -";

/// The list of commands, those of go apart from gofix's own.
fn groups(command: &clap::Command) -> String {
    let mut text = String::from("Go commands, carried through a bad network:\n");
    let (short, same): (Vec<_>, Vec<_>) = GO_COMMANDS
        .iter()
        .filter(|(word, _)| *word != "go")
        .partition(|(word, go)| go.first() != Some(word));
    let names = |commands: &[&(&str, &[&str])]| {
        commands
            .iter()
            .map(|(word, _)| *word)
            .collect::<Vec<_>>()
            .join(", ")
    };
    text.push_str(&format!(
        "  {}\n      = go mod tidy, go mod download, ...\n",
        names(&short)
    ));
    text.push_str(&format!(
        "  {}\n      = go get, go build, ...\n  go ...\n      = any go command\n",
        names(&same)
    ));
    text.push_str("\nCommands of gofix:\n");
    for own in own_commands(command) {
        let about = own.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  {:<12} {about}\n", own.get_name()));
    }
    text
}

/// gofix's own commands.
pub fn own_commands(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    below(command).filter(|sub| !is_go_command(sub.get_name()))
}

/// The commands below one, but for the `help` that clap adds.
pub fn below(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|sub| sub.get_name() != "help")
}

/// What go is called with for a word that is a go command.
pub fn go_words(word: &str) -> Option<&'static [&'static str]> {
    GO_COMMANDS
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, go)| *go)
}

/// True for a word whose arguments are go's.
pub fn is_go_command(word: &str) -> bool {
    GO_COMMANDS.iter().any(|(name, _)| *name == word)
}

/// What stands on the command line: gofix's own part up to the command word, and the rest where that is go's.
#[derive(Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// For clap.
    pub own: &'a [OsString],
    /// The command word, if there is one.
    pub word: Option<&'a OsStr>,
    /// For go, untouched; only where the word is a go command.
    pub go: &'a [OsString],
}

/// Finds the command word in `args` (without the program's name).
pub fn split(args: &[OsString]) -> Split<'_> {
    let command = Cli::command();
    let mut at = 0;
    while let Some(arg) = args.get(at).map(OsString::as_os_str) {
        let text = arg.to_string_lossy();
        if !text.starts_with('-') || text == "-" {
            let end = if is_go_command(&text) { at + 1 } else { args.len() };
            return Split {
                own: &args[..end],
                word: Some(arg),
                go: &args[end..],
            };
        }
        let takes_value = text
            .strip_prefix("--")
            .and_then(|name| command.get_arguments().find(|arg| arg.get_long() == Some(name)))
            .is_some_and(|arg| arg.get_action().takes_values());
        at += if takes_value { 2 } else { 1 };
    }
    Split {
        own: args,
        word: None,
        go: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn the_table_of_go_commands_and_the_definition_agree() {
        let command = Cli::command();
        for (word, go) in GO_COMMANDS {
            let about = command
                .find_subcommand(word)
                .and_then(|sub| sub.get_about())
                .map(ToString::to_string);
            let about = about.unwrap_or_else(|| panic!("{word} is not defined"));
            if *word != "go" {
                assert_eq!(about.trim_end_matches(" ..."), format!("go {}", go.join(" ")));
            }
        }
        for sub in command.get_subcommands() {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            assert_eq!(
                about.contains("go ") && about.starts_with("go "),
                is_go_command(sub.get_name()) && sub.get_name() != "go"
            );
        }
    }

    #[test]
    fn what_follows_a_go_command_is_not_read() {
        let args = words(&[
            "--budget",
            "3m",
            "--log=debug",
            "tidy",
            "--",
            "-h",
            "--budget",
            "x",
        ]);
        let split = split(&args);
        assert_eq!(split.own, words(&["--budget", "3m", "--log=debug", "tidy"]));
        assert_eq!(split.word, Some(OsStr::new("tidy")));
        assert_eq!(split.go, words(&["--", "-h", "--budget", "x"]));
    }

    #[test]
    fn gofix_s_own_commands_are_read_whole() {
        let args = words(&["config", "show", "--json"]);
        assert_eq!(split(&args).own, args);
        assert_eq!(split(&[]).word, None);
        let args = words(&["--widen", "go"]);
        assert_eq!(split(&args).word, None, "the value of a flag is no command");
    }

    #[test]
    fn every_setting_has_a_flag_of_its_name() {
        let command = Cli::command();
        for variable in crate::env_vars::ALL {
            if let Some(key) = variable.key {
                let flag = key.replace('_', "-");
                assert!(
                    command.get_arguments().any(|arg| arg.get_long() == Some(&flag)),
                    "--{flag}"
                );
            }
        }
    }
}
