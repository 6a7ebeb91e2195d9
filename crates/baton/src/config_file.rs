//! The configuration file: one TOML file for all the nodes, read into what one node is to do.
//!
//! Reading goes in two steps. Each section is read by itself ([`document`]): its keys are known, its values are of
//! the right kind and range. Then the rules that span sections are looked at for each node while its [`Config`] is
//! built ([`file_rules`], [`router_rules`], [`track_rules`],
//! [`server_rules`]). What is wrong is collected on the way and told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use node::config::Config;
use node::name::{GroupName, NodeName, RouterName};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use config_errors::{Colour, ConfigErrors};
use document::Document;
use hook_section::HookSection;
use node_section::{NodeKind, NodeSection};
use problem::{Problem, Problems};
pub(crate) use programs::Machine;
use programs::Program;
use settled_file::ReadError;

mod authentication_rules;
mod authentication_section;
mod check_section;
mod config_errors;
mod document;
pub mod duration;
mod engine_section;
mod field;
mod file_rules;
mod group_section;
mod hook_section;
mod key_file;
mod node_section;
mod problem;
mod programs;
mod router_rules;
mod router_section;
mod routing_section;
mod section;
mod server_rules;
mod server_section;
mod settled_file;
mod suggestion;
mod syntax;
mod track_rules;
mod track_section;
mod virtual_address;

/// The largest configuration file, in bytes; ten times what the largest table that is allowed needs.
pub(crate) const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// A configuration file that is valid for each of its nodes.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    name: String,
    configs: BTreeMap<NodeName, Config>,
    foreign: Vec<NodeName>,
    programs: Vec<Program>,
}

impl ConfigFile {
    /// Reads a file, once nobody is writing it any more; it blocks until then, for a few seconds at most.
    ///
    /// # Errors
    /// Everything that is wrong with it, also that it cannot be read, or that somebody goes on writing it.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigErrors> {
        Self::read_with_text(path).map(|(file, _)| file)
    }

    /// Reads a file and returns its text too.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub(crate) fn read_with_text(path: &Path) -> Result<(Self, String), ConfigErrors> {
        let name = path.display().to_string();
        let text = read_text(path, &name)?;
        Ok((Self::parse(&name, &text)?, text))
    }

    /// Reads the text of a file that is called `name`, and the files of keys that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        let (table, syntax_errors) = DeTable::parse_recoverable(text);
        let span = table.span();
        let root = Spanned::new(span, DeValue::Table(table.into_inner()));
        let problems = Problems::default();
        let document = Document::read(&root, &problems);
        let (configs, foreign) = match &document {
            Some(document) if syntax_errors.is_empty() => {
                let folder = Path::new(name).parent().unwrap_or(Path::new(""));
                configs(document, folder, &problems)
            }
            Some(_) | None => Configs::default(),
        };
        let problems = told(problems, configs.len());
        let problems = syntax::with_syntax_errors(text, &syntax_errors, problems);
        if problems.is_empty() {
            let programs = document.as_ref().map(programs::named).unwrap_or_default();
            return Ok(Self { name: name.to_owned(), configs, foreign, programs });
        }
        Err(ConfigErrors { file: name.to_owned(), text: text.to_owned(), problems })
    }

    /// Returns the nodes that run Baton, in the order of their names.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.configs.keys()
    }

    /// Returns what a node is to do.
    ///
    /// # Errors
    /// That the file has no such node, or that it does not run Baton.
    pub(crate) fn resolve(&self, node: &NodeName) -> Result<Config, ConfigErrors> {
        if let Some(config) = self.configs.get(node) {
            return Ok(config.clone());
        }
        let nodes: Vec<_> = self.nodes().map(NodeName::as_str).collect();
        let choice = format!("choose one of the nodes with --node: {}", nodes.join(", "));
        let problem = if self.foreign.contains(node) {
            Problem::of_file(format!("Node {node} does not run Baton: it has kind = \"vrrp\"")).help(choice)
        } else {
            Problem::of_file(format!("The file has no node {node}"))
                .help(format!("add a section [node.{node}] for this machine, or {choice}"))
        };
        Err(errors_of_file(&self.name, problem))
    }
}

/// The configurations of the nodes that run Baton, and the names of the others.
type Configs = (BTreeMap<NodeName, Config>, Vec<NodeName>);

fn configs(document: &Document, folder: &Path, problems: &Problems) -> Configs {
    file_rules::check(document, problems);
    track_rules::check(document, problems);
    let authentication = authentication_rules::resolve(document, folder, problems);
    let virtual_servers = server_rules::resolve(document, problems);
    let hook = |hook: &HookSection| (hook.name.value.clone(), hook.resolve(document, problems));
    let hooks: BTreeMap<_, _> = document.hooks.iter().map(hook).collect();
    let mut groups: BTreeMap<GroupName, BTreeSet<RouterName>> = BTreeMap::new();
    for router in &document.routers {
        if let Some(group) = &router.sync_group {
            groups.entry(group.value.clone()).or_default().insert(router.name.value.clone());
        }
    }
    let config = |node: &NodeSection| {
        let virtual_routers = router_rules::resolve(document, node, &authentication, problems);
        let routers = virtual_routers.values().map(Arc::as_ref);
        Config {
            engine: document.engine.resolve(&node.name.value, routers, problems),
            node: node.name.value.clone(),
            peers: document
                .nodes
                .iter()
                .filter(|other| other.name.value != node.name.value)
                .map(|other| {
                    (other.name.value.clone(), other.addresses.iter().map(|address| address.value).collect())
                })
                .collect(),
            virtual_routers,
            sync_groups: groups.clone(),
            tracks: track_rules::resolve(document, node, problems),
            virtual_servers: virtual_servers.clone(),
            hooks: hooks.clone(),
        }
    };
    let (ours, foreign): (Vec<_>, Vec<_>) =
        document.nodes.iter().partition(|node| node.kind == NodeKind::Baton);
    (
        ours.into_iter().map(|node| (node.name.value.clone(), config(node))).collect(),
        foreign.into_iter().map(|node| node.name.value.clone()).collect(),
    )
}

/// Returns the problems in the order of the file; one that only some nodes have names them.
fn told(problems: Problems, nodes: usize) -> Vec<Problem> {
    let tell = |(problem, having): (Problem, BTreeSet<NodeName>)| {
        if having.is_empty() || having.len() == nodes {
            return problem;
        }
        let having: Vec<_> = having.iter().map(NodeName::as_str).collect();
        Problem { title: format!("{} (on {})", problem.title, having.join(", ")), ..problem }
    };
    problems.into_inner().into_iter().map(tell).collect()
}

fn errors_of_file(file: &str, problem: Problem) -> ConfigErrors {
    ConfigErrors { file: file.to_owned(), text: String::new(), problems: vec![problem] }
}

fn read_text(path: &Path, name: &str) -> Result<String, ConfigErrors> {
    let open = |path: &Path| File::open(path).map_err(ReadError::System);
    // One byte more than is allowed tells a file that is too large from one that fits, also where the size is not
    // known before, as in a pipe.
    let bytes = settled_file::read(path, open, FILE_LIMIT + 1)
        .map_err(|error| errors_of_file(name, unreadable(&error, name)))?;
    if bytes.len() as u64 > FILE_LIMIT {
        let problem = Problem::of_file(format!("{name} has more than {} MiB", FILE_LIMIT >> 20));
        return Err(errors_of_file(
            name,
            problem.help("name the configuration file itself with --config FILE"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|&byte| byte == b'\n').count();
        let problem = Problem::of_file(format!(
            "{name} is no UTF-8 text: line {line} has a byte that cannot stand there"
        ));
        errors_of_file(name, problem.help("save the file as UTF-8"))
    })
}

fn unreadable(error: &ReadError, name: &str) -> Problem {
    let help = match error {
        ReadError::BeingWritten => {
            "save it first, then ask again; a file that is written under another name and then renamed is never found \
             half written"
        }
        ReadError::System(error) if error.kind() == ErrorKind::NotFound => {
            "write the configuration there, or name another file with --config FILE; \
             the folder config/ of the source has examples to start from"
        }
        ReadError::System(error) if error.kind() == ErrorKind::PermissionDenied => {
            "run as a user who may read it (root), or let this user read it"
        }
        ReadError::System(_) => "name the configuration file with --config FILE",
    };
    Problem::of_file(format!("Cannot read {name}: {error}")).help(help)
}

#[cfg(test)]
mod tests;
