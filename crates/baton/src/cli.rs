//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config_file::duration;

/// VRRP failover and IPVS load balancing for Linux.
#[derive(Debug, Parser)]
#[command(name = "baton", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Command,
}

/// Which configuration, node and daemon a command is about.
#[derive(Clone, Debug, Args)]
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

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon, in the foreground.
    Run {
        /// How events are written to standard output.
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log_format: LogFormat,
    },
    /// What `run` starts and guards.
    #[command(hide = true)]
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
    /// Show virtual routers, virtual servers and real servers.
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
        name: String,
        /// Come back by itself after this time, like 10m [default: after `baton release`].
        #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
        time: Option<Duration>,
    },
    /// Compete by priority again for what was passed on.
    Release {
        /// The virtual router or sync group.
        name: String,
    },
    /// Remove all that Baton owns in the kernel, and exit.
    Clean,
    /// Boot the nodes of a configuration in network namespaces, break things, report the outage of each drill.
    Rehearse {
        /// The configuration file.
        file: PathBuf,
    },
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text each.
    Text,
    /// One JSON object a line each.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
