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
    help_template = "{about}\n\n{usage-heading} {usage}{after-help}\n\n{before-help}Settings (place them before the command; they override variables and files):\n{options}",
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

/// Settings of one command. They override variables and files.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings for this command (they override variables and files)")]
pub struct Settings {
    /// Fallback routes after your own GOPROXY, in order: lists or preset:NAME
    #[arg(long, value_name = "LIST;LIST", value_hint = ValueHint::Other)]
    pub routes: Option<OsString>,

    /// Whether later routes may be used
    #[arg(long, value_name = "WHEN", value_parser = ["auto", "always", "never"])]
    pub widen: Option<String>,

    /// Whether to run a relay, a GOPROXY on loopback, for this command
    #[arg(long, value_name = "WHEN", value_parser = ["off", "on", "auto"])]
    pub relay: Option<String>,

    /// What may be repaired in the module cache
    #[arg(long, value_name = "WHAT", value_parser = ["off", "module", "all"])]
    pub repair: Option<String>,

    /// How often to run go again on one route after a fault
    #[arg(long, value_name = "N", value_hint = ValueHint::Other)]
    pub retry_count: Option<OsString>,

    /// Time limit for the whole command, such as 10m or 90s
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other)]
    pub budget: Option<OsString>,

    /// Connect timeout of the relay for each address
    #[arg(long, value_name = "MS", value_hint = ValueHint::Other)]
    pub timeout_ms: Option<OsString>,

    /// Stop go and run it again after this long without progress
    #[arg(long, value_name = "MS", value_hint = ValueHint::Other)]
    pub stall_ms: Option<OsString>,

    /// Append every event to this file, one JSON object per line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<OsString>,

    /// How much gofix prints
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

    /// Find out what is wrong with the network and the setup
    Doctor(Doctor),
    /// Explain go's error output, read from a file or a pipe
    Explain(Explain),
    /// Show or change the routes: which proxies may be asked, in which order
    Routes(Routes),
    /// Wait until every proxy serves a version that was just released
    Wait(Wait),
    /// Verify or repair the module cache
    Cache(Cache),
    /// Install or remove the shim, so that plain `go` uses gofix
    Shim(Shim),
    /// Show gofix at work against bad proxies on this machine
    Rehearse(Rehearse),
    /// Read the reports that GOFIX_REPORT wrote
    Report(Report),
    /// Print the recipe for your CI system or build tool
    Ci(Ci),
    /// Show or check the configuration, and where each value comes from
    Config(Config),
    /// Print the completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man(Man),
}

/// The arguments of a go command; go reads them, not gofix.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
go reads these arguments itself, so `gofix tidy -h` shows go's own help. Put gofix settings before the command:
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
Asks only the servers that your settings name, for one public module, and takes at most ten seconds.

Exit status: 0 no problems, 1 warnings only, 3 something is broken.

Examples:
  gofix doctor           one table, worst first, with a fix for each problem
  gofix doctor --json    the same, for scripts
  gofix doctor --module git.corp.example/lib@v1.2.0   for a proxy that has only your own modules")]
pub struct Doctor {
    /// Print one JSON object instead of the table
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
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// The saved output; standard input if omitted or -
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// `gofix routes`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  gofix routes                                   the routes in order, and who sees your module names
  gofix routes use cn                            only the preset cn, after your own GOPROXY
  gofix routes add 'https://goproxy.cn,direct'   one more route, after the others
  gofix routes test                              ask each proxy now
  gofix routes reset                             only your own GOPROXY again"
)]
pub struct Routes {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// What to do; without it the routes are shown.
    #[command(subcommand)]
    pub action: Option<RoutesAction>,
}

/// What `gofix routes` can do.
#[derive(Debug, Subcommand)]
pub enum RoutesAction {
    /// Show the routes, and who sees your module names
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Add routes after those in your file
    Add {
        /// GOPROXY lists, or preset:NAME
        #[arg(value_name = "LIST", required = true)]
        lists: Vec<String>,
        /// Put them before the others
        #[arg(long)]
        first: bool,
    },
    /// Remove a route from your file
    Remove {
        /// The list as written, preset:NAME, or its number in `gofix routes`
        #[arg(value_name = "LIST|NUMBER", required = true)]
        routes: Vec<String>,
    },
    /// Replace the routes in your file
    Use {
        /// A preset's name, or GOPROXY lists
        #[arg(value_name = "PRESET|LIST", required = true)]
        routes: Vec<String>,
    },
    /// Ask every proxy of every route for a module, now
    Test {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove the routes from your file
    Reset,
    /// Show the presets: their proxies, who runs them, and when they were last seen working
    Presets {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `gofix wait`.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks every proxy of your GOPROXY for the version, then the checksum database. After a 404 it waits at least as long \
as the server caches that answer (Cache-Control, Age); a 401, a 403 or a bad certificate ends the wait.

Exit status: 0 every server has it, 1 a server refused, 124 the time ran out.

Examples:
  gofix wait example.com/lib@v1.4.0               in a release pipeline, after `git push --tags`
  gofix wait --for 30m example.com/lib@v1.4.0     for up to 30 minutes instead of 15
  gofix wait --json example.com/lib@v1.4.0 | jq .servers")]
pub struct Wait {
    /// The versions to wait for
    #[arg(value_name = "MODULE@VERSION", required = true, value_hint = ValueHint::Other)]
    pub modules: Vec<String>,
    /// How long to wait, such as 15m or 90s
    #[arg(long = "for", value_name = "TIME", default_value = "15m", value_hint = ValueHint::Other)]
    pub limit: String,
    /// Print one JSON object at the end
    #[arg(long)]
    pub json: bool,
}

/// `gofix cache`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 no damage, or all of it mended, 1 otherwise.

Examples:
  gofix cache verify                          everything in the module cache
  gofix cache verify github.com/google/uuid   one module
  gofix cache repair --dry-run                what would be set aside
  gofix cache repair                          set it aside; go fetches it again
  gofix cache list                            what is set aside, and for how long
  gofix cache restore                         put the most recent set back")]
pub struct Cache {
    /// What to do.
    #[command(subcommand)]
    pub action: CacheAction,
}

/// What `gofix cache` can do.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Look for damage; changes nothing
    Verify {
        /// Only this module, or this version of it
        #[arg(value_name = "MODULE[@VERSION]")]
        module: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Set damaged files aside, so that go fetches them again
    Repair {
        /// Only this module, or this version of it
        #[arg(value_name = "MODULE[@VERSION]")]
        module: Option<String>,
        /// Show what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Put files that were set aside back, unless new ones are in their place
    Restore {
        /// The set, as `gofix cache list` names it; the most recent if omitted
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List what is set aside
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `gofix shim`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gofix shim install                   for this user; prints which files it edits
  gofix shim install --routes cn       and use the routes of the preset cn
  eval \"$(gofix shim install --print)\"   for this shell only; edits no file
  gofix shim status                    which go runs where, and why
  gofix shim uninstall                 undo the installation")]
pub struct Shim {
    /// What to do.
    #[command(subcommand)]
    pub action: ShimAction,
}

/// What `gofix shim` can do.
#[derive(Debug, Subcommand)]
pub enum ShimAction {
    /// Put the shim into its own folder, and that folder first in PATH
    Install(ShimInstall),
    /// Remove the shim and its PATH lines
    Uninstall(ShimPlace),
    /// List every go in PATH, which one runs where, and why
    Status(ShimStatus),
}

/// `gofix shim install`.
#[derive(Debug, Args)]
pub struct ShimInstall {
    /// Where to.
    #[command(flatten)]
    pub place: ShimPlace,
    /// Use the routes of this preset as well
    #[arg(long, value_name = "PRESET")]
    pub routes: Option<String>,
    /// Edit no file; print the line that puts the shim first in PATH, for this shell (default: the one in $SHELL)
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
    /// For every user of this machine, not for you alone
    #[arg(long)]
    pub system: bool,
}

/// `gofix shim status`.
#[derive(Debug, Args)]
pub struct ShimStatus {
    /// Where it is.
    #[command(flatten)]
    pub place: ShimPlace,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `gofix rehearse`.
#[derive(Debug, Args)]
#[command(after_help = "\
Uses no network and touches none of your files: proxies, modules and caches are in a temporary folder.

Examples:
  gofix rehearse                  every scenario, plain go and gofix side by side
  gofix rehearse --list           list the scenarios
  gofix rehearse stalled-body     only this one")]
pub struct Rehearse {
    /// Run only these scenarios
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// List the scenarios and run nothing
    #[arg(long)]
    pub list: bool,
    /// Print one JSON object
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
    /// Report files (JSON Lines)
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Write one self-contained page to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
    /// Print one JSON object
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
Without a name: the CI system that runs this job, or else those whose files are in this folder. docs/ci.md says more about each.

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
  gofix config          every setting, and where its value comes from
  gofix config check    fail if a file or a variable has a mistake
  $EDITOR \"$(gofix config path)\""
)]
pub struct Config {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// What to do; without it the settings are shown.
    #[command(subcommand)]
    pub action: Option<ConfigAction>,
}

/// What `gofix config` can do.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Show every setting, and where its value comes from
    Show {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Exit with 1 if the configuration has a mistake
    Check {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the path of your configuration file
    Path,
}

/// `gofix completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gofix completions bash > ~/.local/share/bash-completion/completions/gofix
  gofix completions zsh > ~/.zfunc/_gofix
  gofix completions fish > ~/.config/fish/completions/gofix.fish
  gofix completions elvish > ~/.config/elvish/lib/gofix.elv   and a line \"use gofix\" in rc.elv
  gofix completions powershell | Out-String | Invoke-Expression   in $PROFILE")]
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
  gofix tidy                         go mod tidy, despite a bad network
  gofix --budget 3m download         go mod download, in three minutes at most
  gofix go build -o app ./cmd/app    any go command, with its arguments unchanged
  gofix shim install                 make plain `go` use gofix from now on
  gofix routes use cn                allow other proxies; shows who sees your module names
  gofix doctor                       what is wrong with this network

More: gofix help COMMAND, gofix help topics (what go's errors mean), gofix man | man -l -";

/// The list of commands, those of go apart from gofix's own.
fn groups(command: &clap::Command) -> String {
    let mut text = String::from("Go commands, made robust against a bad network:\n");
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
