//! The whole file as it is written: its sections, each right in itself.

use node::name::{NodeName, TrackName};
use toml::Spanned;
use toml::de::DeValue;

use super::engine_section::EngineSection;
use super::field::Field;
use super::group_section::GroupSection;
use super::hook_section::HookSection;
use super::node_section::NodeSection;
use super::problem::{Problem, Problems};
use super::router_section::RouterSection;
use super::section::Section;
use super::server_section::ServerSection;
use super::track_section::TrackSection;

/// Every key at the top of a file.
pub(super) const KEYS: &[&str] =
    &["engine", "hook", "node", "sync_group", "track", "virtual_router", "virtual_server"];

/// The most nodes of a file; an election among more of them has never been wanted.
const NODE_LIMIT: usize = 64;

/// The most virtual routers of a file: every identifier in both families on eight interfaces.
const ROUTER_LIMIT: usize = 8 * 2 * 255;

/// The most tracks of a file; each may be a script.
const TRACK_LIMIT: usize = 1_024;

/// The most virtual servers of a file; a table this large still
/// reaches the kernel within a second.
const SERVER_LIMIT: usize = 16_384;

/// The most real servers of a file, all virtual servers together.
const REAL_SERVER_LIMIT: usize = 65_536;

/// The sections of a file that could be read.
#[derive(Debug)]
pub(super) struct Document {
    /// How the engine gets its turn.
    pub(super) engine: EngineSection,
    /// The hooks.
    pub(super) hooks: Vec<HookSection>,
    /// The nodes.
    pub(super) nodes: Vec<NodeSection>,
    /// The virtual routers.
    pub(super) routers: Vec<RouterSection>,
    /// Whether every virtual router of the file is among them.
    pub(super) all_routers: bool,
    /// What sync groups have in common.
    pub(super) groups: Vec<GroupSection>,
    /// The tracks.
    pub(super) tracks: Vec<TrackSection>,
    /// Whether every track of the file is among them.
    pub(super) all_tracks: bool,
    /// The virtual servers.
    pub(super) servers: Vec<ServerSection>,
}

impl Document {
    /// Reads the sections of a file.
    pub(super) fn read<'a>(root: &'a Spanned<DeValue<'a>>, problems: &'a Problems) -> Option<Self> {
        let field = Field::new("the file", root, problems);
        let section = Section::open("the file", field.span(), field, KEYS)?;
        let engine = section.field("engine").and_then(EngineSection::read).unwrap_or_default();
        let hooks = section.named("hook", HookSection::read);
        let nodes = section.named("node", NodeSection::read);
        let routers = section.named("virtual_router", RouterSection::read);
        let groups = section.named("sync_group", GroupSection::read);
        let tracks = section.named("track", TrackSection::read);
        let servers = section.named("virtual_server", ServerSection::read);
        if section.field("node").is_none() {
            problems.report(
                Problem::of_file("The file names no node")
                    .help("add a section for each machine, for example: [node.lb1] with addresses = [\"10.77.0.11\"]")
                    .missing(),
            );
        }
        let document = Self {
            engine,
            hooks: hooks.into_iter().flatten().collect(),
            nodes: nodes.into_iter().flatten().collect(),
            all_routers: routers.iter().all(Option::is_some),
            groups: groups.into_iter().flatten().collect(),
            all_tracks: tracks.iter().all(Option::is_some),
            tracks: tracks.into_iter().flatten().collect(),
            routers: routers.into_iter().flatten().collect(),
            servers: servers.into_iter().flatten().collect(),
        };
        document.report_excess(problems);
        Some(document)
    }

    /// Returns the node of a name.
    pub(super) fn node(&self, name: &NodeName) -> Option<&NodeSection> {
        self.nodes.iter().find(|node| node.name.value == *name)
    }

    /// Returns the track of a name.
    pub(super) fn track(&self, name: &TrackName) -> Option<&TrackSection> {
        self.tracks.iter().find(|track| track.name.value == *name)
    }

    fn report_excess(&self, problems: &Problems) {
        let nodes = self.nodes.get(NODE_LIMIT).map(|node| node.name.span);
        let routers = self.routers.get(ROUTER_LIMIT).map(|router| router.name.span);
        let tracks = self.tracks.get(TRACK_LIMIT).map(|track| track.name.span);
        let servers = self.servers.get(SERVER_LIMIT).map(|server| server.name.span);
        let mut real_servers = self.servers.iter().flat_map(|server| &server.real_servers);
        let real_servers = real_servers.nth(REAL_SERVER_LIMIT).map(|server| server.span);
        for (excess, limit, what) in [
            (nodes, NODE_LIMIT, "nodes"),
            (routers, ROUTER_LIMIT, "virtual routers"),
            (tracks, TRACK_LIMIT, "tracks"),
            (servers, SERVER_LIMIT, "virtual servers"),
            (real_servers, REAL_SERVER_LIMIT, "real servers"),
        ] {
            if let Some(span) = excess {
                problems.report(
                    Problem::at(span, format!("The file has more than {limit} {what}"))
                        .label("one too many")
                        .help("split the file among more pairs of machines"),
                );
            }
        }
    }
}
