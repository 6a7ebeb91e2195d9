//! VRRP failover and IPVS load balancing for Linux.

#![forbid(unsafe_code)]
// Everything here is for this binary alone.
#![allow(unreachable_pub, missing_docs)]

mod api;
mod bond;
mod checker;
mod claim;
mod cli;
mod client;
mod config_file;
mod control;
mod desire;
mod engine;
mod guard;
mod hooks;
mod journal;
mod log;
mod passing;
mod pulse;
mod rehearse;
mod run;
mod sockets;
mod systemd;
mod tracker;
mod turns;
mod view;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use host::reconciler;
use hyper::Method;
use node::name::NodeName;
use serde::de::DeserializeOwned;
use tokio::runtime::Builder;

use crate::api::Reloaded;
use crate::claim::{Claim, ClaimError};
use crate::cli::{Cli, Command, Place};
use crate::client::ClientError;
use crate::config_file::{Colour, ConfigErrors, ConfigFile, Machine};
use crate::passing::{Fate, Passed, Released};
use crate::rehearse::RehearseError;
use crate::run::RunError;
use crate::view::NodeView;

/// What can go wrong with a command, as its last line says it.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Rehearse(#[from] RehearseError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Clean(#[from] host::reconciler::ReconcilerError),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Output(#[from] io::Error),
}

fn main() -> ExitCode {
    let Cli { place, command } = Cli::read();
    match execute(&place, command) {
        Ok(code) => code,
        Err(CommandError::Run(RunError::Config(errors))) => complain(&errors),
        Err(CommandError::Rehearse(RehearseError::Config(errors))) => complain(&errors),
        // Whoever reads has enough, as `head` has.
        Err(CommandError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(place: &Place, command: Command) -> Result<ExitCode, CommandError> {
    let mut output = io::stdout();
    match command {
        Command::Run { log_format } => return Ok(guard::run(place, log_format)?),
        Command::Daemon { log_format } => run::run(place, log_format)?,
        Command::Check { file } => check(file.as_ref().unwrap_or(&place.config), place)?,
        Command::Status { json } => {
            let status: NodeView = ask(&place.socket, Method::GET, "/status")?;
            if json {
                writeln!(output, "{}", serde_json::to_string_pretty(&status).map_err(io::Error::from)?)?;
            } else {
                write!(output, "{status}")?;
            }
        }
        Command::Reload => {
            let Reloaded { changes } = ask(&place.socket, Method::POST, "/reload")?;
            match changes.len() {
                0 => writeln!(output, "nothing changed")?,
                _ => changes.iter().try_for_each(|change| writeln!(output, "{change}"))?,
            }
        }
        Command::Pass { name, time } => {
            let passed = ask(&place.socket, Method::POST, &pass_path(&name, time))?;
            report_passing(&passed, &name)?;
        }
        Command::Release { name } => {
            let Released { virtual_routers } = ask(&place.socket, Method::POST, &format!("/release/{name}"))?;
            writeln!(output, "back by its priority: {}", virtual_routers.join(", "))?;
        }
        Command::Rehearse { file } => rehearse::rehearse(file.as_ref().unwrap_or(&place.config))?,
        Command::Clean => {
            let _claim = Claim::new()?;
            let cleaned = reconciler::clean(&run::record_path(&place.socket))?;
            cleaned.addresses.iter().try_for_each(|address| writeln!(output, "removed address {address}"))?;
            cleaned.devices.iter().try_for_each(|device| writeln!(output, "removed interface {device}"))?;
            cleaned
                .drops
                .iter()
                .try_for_each(|drop| writeln!(output, "removed drop of packets to {drop}"))?;
            cleaned.rules.iter().try_for_each(|rule| writeln!(output, "removed rule {rule}"))?;
            cleaned.routes.iter().try_for_each(|route| writeln!(output, "removed route {route}"))?;
            cleaned.services.iter().try_for_each(|service| writeln!(output, "removed service {service}"))?;
            if let Some(refusal) = cleaned.refused.first() {
                return Err(CommandError::Refused(refusal.reason.clone()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn pass_path(name: &str, time: Option<Duration>) -> String {
    match time {
        Some(time) => format!("/pass/{name}?for={}ms", time.as_millis()),
        None => format!("/pass/{name}"),
    }
}

fn report_passing(passed: &Passed, name: &str) -> Result<(), CommandError> {
    let mut output = io::stdout();
    for (router, fate) in &passed.virtual_routers {
        match fate {
            Fate::HandedOver { to, node, milliseconds } => {
                let node = node.as_ref().map(|node| format!("{node}, ")).unwrap_or_default();
                writeln!(output, "{router}: {node}{to} serves after {milliseconds:.1} ms")?;
            }
            Fate::NotActive => writeln!(output, "{router}: was not Active here, and stays away")?,
            Fate::NobodyTookOver => writeln!(output, "{router}: nobody took over, this node goes on")?,
            Fate::CalledOff => writeln!(output, "{router}: released meanwhile, this node goes on")?,
        }
    }
    if passed.virtual_routers.values().any(|fate| matches!(fate, Fate::CalledOff)) {
        return Err(CommandError::Refused(format!("{name} was released before it was handed over")));
    }
    if passed.virtual_routers.values().all(|fate| matches!(fate, Fate::NobodyTookOver)) {
        return Err(CommandError::Refused(format!(
            "Nobody took {name} over: is another node up and a Backup?"
        )));
    }
    Ok(())
}

fn check(path: &Path, place: &Place) -> Result<(), CommandError> {
    let (file, text) = ConfigFile::read_with_text(path).map_err(RunError::from)?;
    let is_here = |node: &NodeName| run::node_name(place).is_ok_and(|here| here == *node);
    let machine = if file.nodes().any(is_here) { Machine::Node } else { Machine::Other };
    let file = file.with_fit_programs(&text, machine).map_err(RunError::from)?;
    let nodes: Vec<_> = file.nodes().map(ToString::to_string).collect();
    Ok(writeln!(io::stdout(), "{} is valid for {}", path.display(), nodes.join(", "))?)
}

fn ask<T: DeserializeOwned>(socket: &Path, method: Method, path: &str) -> Result<T, CommandError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(client::ask(socket, method, path))?)
}

fn complain(errors: &ConfigErrors) -> ExitCode {
    let colour = if std::io::stderr().is_terminal() { Colour::Always } else { Colour::Never };
    eprintln!("{}", errors.render(colour));
    ExitCode::FAILURE
}
