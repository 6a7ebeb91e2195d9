//! The command line.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use node::name::{NameError, RouterName};

use crate::config_file::duration;

/// The command of the daemon itself.
const DAEMON: &str = "daemon";

/// VRRP failover and IPVS load balancing for Linux.
#[derive(Debug, PartialEq, Eq, Parser)]
#[command(name = "baton", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads this process's command line, or ends it with an explanation.
    pub fn read() -> Self {
        // A daemon that was restarted has little time, and a tenth of it went into preparing to read any command.
        let arguments: Vec<_> = env::args_os().skip(1).collect();
        read_daemon_arguments(&arguments).unwrap_or_else(Self::parse)
    }
}

/// Returns the arguments by which the guard starts its daemon.
pub fn daemon_arguments(place: &Place, format: LogFormat) -> Vec<OsString> {
    let Place { config, node, socket } = place;
    let mut arguments: Vec<OsString> = vec![
        DAEMON.into(),
        "--log-format".into(),
        format.name().into(),
        "--config".into(),
        config.into(),
        "--socket".into(),
        socket.into(),
    ];
    if let Some(node) = node {
        arguments.extend(["--node".into(), node.into()]);
    }
    arguments
}

/// Reads [`daemon_arguments`], and nothing that is written otherwise.
fn read_daemon_arguments(arguments: &[OsString]) -> Option<Cli> {
    let (name, options) = arguments.split_first()?;
    let mut options = options.chunks_exact(2);
    let mut option = |expected: &str| match options.next() {
        Some([option, value]) if option == expected => Some(value),
        Some(_) | None => None,
    };
    let log_format = option("--log-format")?;
    let (config, socket) = (option("--config")?.into(), option("--socket")?.into());
    let node = option("--node").map(|node| node.clone().into_string());
    let log_format = LogFormat::ALL.into_iter().find(|format| log_format == format.name())?;
    let place = Place { config, node: node.transpose().ok()?, socket };
    let read = Cli { place, command: Command::Daemon { log_format } };
    (name == DAEMON && daemon_arguments(&read.place, log_format) == arguments).then_some(read)
}

/// Which configuration, node and daemon a command is about.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Place {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/baton/baton.toml")]
    pub config: PathBuf,
    /// This node's name in the configuration file [default: the host name].
    #[arg(long, global = true, value_name = "NAME")]
    pub node: Option<String>,
    /// The daemon's socket; what the daemon owns is recorded beside it.
    #[arg(long, global = true, value_name = "PATH", default_value = "/run/baton/baton.sock")]
    pub socket: PathBuf,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the daemon, in the foreground.
    Run {
        /// How events are written to standard output.
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log_format: LogFormat,
    },
    /// What `run` starts and guards.
    #[command(name = DAEMON, hide = true)]
    Daemon {
        /// How events are written to standard output.
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log_format: LogFormat,
    },
    /// Validate a configuration file for all of its nodes: 0 valid, 1 invalid, 2 wrong use.
    Check {
        /// The file [default: the one of --config].
        file: Option<PathBuf>,
    },
    /// Show virtual routers, sync groups, tracks, virtual servers, real servers and hooks.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read the configuration again and apply the difference.
    Reload,
    /// Hand a virtual router or sync group over, and stay away from it.
    Pass {
        /// The virtual router or sync group.
        #[arg(value_parser = name)]
        name: String,
        /// Come back by itself after this time, like 10m [default: after `baton release`].
        #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
        time: Option<Duration>,
    },
    /// Compete by priority again for what was passed on.
    Release {
        /// The virtual router or sync group.
        #[arg(value_parser = name)]
        name: String,
    },
    /// Remove all that Baton owns in the kernel, and exit.
    Clean,
    /// Boot the nodes of a configuration in network namespaces, break things, report the outage of each drill.
    Rehearse {
        /// The file [default: the one of --config].
        file: Option<PathBuf>,
    },
}

/// Reads what a virtual router or sync group can be called; both have names of the same kind.
fn name(text: &str) -> Result<String, NameError> {
    RouterName::new(text).map(|name| name.to_string())
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text each.
    Text,
    /// One JSON object a line each.
    Json,
}

impl LogFormat {
    const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// Returns its name on the command line.
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_into_a_terminal_of_80_columns() {
        let mut cli = Cli::command().term_width(80);
        cli.build();
        let own = cli.render_long_help();
        let helps = cli.get_subcommands_mut().map(clap::Command::render_long_help);
        for help in helps.chain([own]) {
            let help = help.to_string();
            let longest = help.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(80), "{longest:?} in\n{help}");
        }
    }

    #[test]
    fn check_and_rehearse_take_the_file_of_config_unless_they_are_given_one() {
        let command =
            |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| (cli.place.config, cli.command));
        let config = PathBuf::from("a.toml");
        assert_eq!(
            command("baton rehearse --config a.toml").unwrap(),
            (config.clone(), Command::Rehearse { file: None })
        );
        assert_eq!(command("baton check --config a.toml").unwrap(), (config, Command::Check { file: None }));
    }

    #[test]
    fn the_daemon_understands_its_guard_as_any_command_is_understood() {
        for (format, node) in [(LogFormat::Text, None), (LogFormat::Json, Some("lb1"))] {
            let place = Place {
                config: "/etc/a b.toml".into(),
                node: node.map(str::to_owned),
                socket: "/run/baton.sock".into(),
            };
            let arguments = daemon_arguments(&place, format);
            let read = read_daemon_arguments(&arguments).unwrap();
            assert_eq!(read, Cli::parse_from([OsString::from("baton")].iter().chain(&arguments)));
            assert_eq!(read, Cli { place, command: Command::Daemon { log_format: format } });
        }
    }

    #[test]
    fn what_nothing_can_be_called_is_neither_passed_on_nor_released() {
        for command in ["pass", "release"] {
            assert!(Cli::try_parse_from(["baton", command, "wéb-1"]).is_ok());
            for name in ["", "a b", "web/1", "web?1"] {
                assert!(Cli::try_parse_from(["baton", command, name]).is_err(), "{command} {name:?}");
            }
        }
    }

    #[test]
    fn what_no_guard_writes_is_not_taken_for_its_words() {
        for line in ["", "run", "daemon", "daemon --help", "daemon --log-format text --config a --socket b c"]
        {
            let arguments: Vec<_> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(read_daemon_arguments(&arguments), None, "{line}");
        }
    }
}
