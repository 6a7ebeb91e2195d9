//! What a node's tracks are, and the rules between them and what has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use node::name::{NodeName, TrackName};
use node::track::{Effect, TrackConfig, TrackKind};
use vrrp::Priority;

use super::document::Document;
use super::node_section::NodeSection;
use super::problem::{At, Problem, Problems, Span};
use super::router_rules::priority;
use super::router_section::RouterSection;
use super::suggestion::closest;
use super::track_section::TrackSection;

/// The highest priority that tracks may lead to: 255 is the owner's.
const HIGHEST: i32 = 254;

/// Reports what is wrong between tracks and what has them, whatever the node.
pub(super) fn check(document: &Document, problems: &Problems) {
    for (span, having, track) in mentions(document) {
        if document.all_tracks && document.track(track).is_none() {
            problems.report(unknown(document, span, &having, track));
        }
    }
    for group in &document.groups {
        let has_members = document
            .routers
            .iter()
            .any(|router| router.sync_group.as_ref().is_some_and(|named| named.value == group.name.value));
        if !has_members && document.all_routers {
            problems.report(
                Problem::at(
                    group.name.span,
                    format!("No virtual router is in sync group {}", group.name.value),
                )
                .label("has no members")
                .help(format!(
                    "write sync_group = \"{}\" in its virtual routers, or leave the section out",
                    group.name.value
                )),
            );
        }
    }
    let used: BTreeSet<_> = mentions(document).map(|(_, _, track)| track).collect();
    for track in &document.tracks {
        let name = &track.name;
        if !used.contains(&name.value) && document.all_routers {
            problems.report(
                Problem::at(name.span, format!("Nothing has track {}", name.value))
                    .label("would do nothing")
                    .help(format!(
                        "write track = [\"{}\"] in the virtual routers that need it, or leave the track out",
                        name.value
                    )),
            );
        }
        for differing in &track.overrides {
            report_override(document, track, differing, problems);
        }
    }
}

fn report_override(
    document: &Document,
    track: &TrackSection,
    differing: &super::track_section::TrackOverride,
    problems: &Problems,
) {
    let node = &differing.node;
    if !document.nodes.is_empty() && document.node(&node.value).is_none() {
        let title = format!("Track {} differs on node {}, which is not there", track.name.value, node.value);
        problems.report(Problem::at(node.span, title).label("no such node"));
    }
    if let (Some(interface), TrackKind::Script { .. } | TrackKind::Process { .. } | TrackKind::File { .. }) =
        (&differing.interface, &track.kind.value)
    {
        problems.report(
            Problem::at(interface.span, format!("Track {} looks at no interface", track.name.value))
                .label("does nothing here")
                .also(track.kind.span, "what it looks at")
                .help("leave it out"),
        );
    }
}

/// Returns where tracks are named, by what, and which.
fn mentions(document: &Document) -> impl Iterator<Item = (Span, String, &TrackName)> {
    let by_routers = document.routers.iter().flat_map(|router| {
        let having = format!("virtual router {}", router.name.value);
        router.tracks.iter().map(move |track| (track.span, having.clone(), &track.value))
    });
    let by_groups = document.groups.iter().flat_map(|group| {
        let having = format!("sync group {}", group.name.value);
        group.tracks.iter().map(move |track| (track.span, having.clone(), &track.value))
    });
    by_routers.chain(by_groups)
}

fn unknown(document: &Document, span: Span, having: &str, track: &TrackName) -> Problem {
    let names = document.tracks.iter().map(|track| track.name.value.as_str());
    let help = match closest(track.as_str(), names.clone()) {
        Some(close) => format!("did you mean {close}?"),
        None if document.tracks.is_empty() => format!("add a section [track.{track}]"),
        None => format!("the tracks are: {}", names.collect::<Vec<_>>().join(", ")),
    };
    let mut title = format!("{having} has track {track}, which is not there");
    title[..1].make_ascii_uppercase();
    Problem::at(span, title).label("no such track").help(help)
}

/// Returns what has to be well for a virtual router: its own tracks, those of its sync group and of the group's members,
/// so that the priorities of all members stay the same.
pub(super) fn tracks_of(document: &Document, router: &RouterSection) -> BTreeSet<TrackName> {
    let names = |tracks: &[At<TrackName>]| tracks.iter().map(|track| track.value.clone()).collect::<Vec<_>>();
    let Some(group) = &router.sync_group else { return names(&router.tracks).into_iter().collect() };
    let is_member =
        |other: &&RouterSection| other.sync_group.as_ref().is_some_and(|named| named.value == group.value);
    let by_members = document.routers.iter().filter(is_member).flat_map(|other| names(&other.tracks));
    let groups = document.groups.iter().filter(|section| section.name.value == group.value);
    by_members.chain(groups.flat_map(|section| names(&section.tracks))).collect()
}

/// Returns the tracks of a node, and reports what is wrong with them on it.
pub(super) fn resolve(
    document: &Document,
    node: &NodeSection,
    problems: &Problems,
) -> BTreeMap<TrackName, Arc<TrackConfig>> {
    let name = &node.name.value;
    for router in &document.routers {
        for problem in priority_problems(document, router, node) {
            problems.report_on(name, problem);
        }
    }
    document.tracks.iter().map(|track| (track.name.value.clone(), Arc::new(config(track, name)))).collect()
}

fn config(track: &TrackSection, node: &NodeName) -> TrackConfig {
    let here = track.on(node);
    let mut kind = track.kind.value.clone();
    if let TrackKind::Interface { interface, .. } = &mut kind
        && let Some(differing) = here.and_then(|here| here.interface.as_ref())
    {
        interface.clone_from(&differing.value);
    }
    TrackConfig { kind, sense: track.sense, effect: effect(track, node).value }
}

fn effect(track: &TrackSection, node: &NodeName) -> At<Effect> {
    track.on(node).and_then(|here| here.effect).unwrap_or(track.effect)
}

/// A sum that would have to be cut off would make priorities equal that were meant to differ.
fn priority_problems(document: &Document, router: &RouterSection, node: &NodeSection) -> Vec<Problem> {
    let base = priority(router, node);
    let (mut least, mut most) = (i32::from(base.value.get()), i32::from(base.value.get()));
    let mut problems = Vec::new();
    let mut weights = Vec::new();
    for track in tracks_of(document, router) {
        let Some(section) = document.track(&track) else { continue };
        let At { value: Effect::Weight(weight), span } = effect(section, &node.name.value) else { continue };
        if base.value == Priority::OWNER {
            problems.push(
                Problem::at(
                    span,
                    format!("The weight of track {track} does nothing for {}", router.name.value),
                )
                .label("adds nothing to 255")
                .also(base.span, "the owner's priority never changes")
                .help("leave `weight` out, or lower the priority to 254 or less"),
            );
            continue;
        }
        // What a file will say is not known before.
        if let TrackKind::File { .. } = section.kind.value {
            continue;
        }
        weights.push((span, format!("{track} {:+}", weight.get())));
        (least, most) = (least + weight.get().min(0), most + weight.get().max(0));
    }
    if base.value == Priority::OWNER {
        return problems;
    }
    for (sum, help) in [
        (least, "a higher priority or smaller weights; or leave `weight` out, so that it faults instead"),
        (most, "a lower priority or smaller weights: 255 is for the owner of the addresses"),
    ] {
        if !(1..=HIGHEST).contains(&sum) {
            let title = format!(
                "The tracks of virtual router {} would take its priority to {sum}",
                router.name.value
            );
            let problem = Problem::at(base.span, title).label(format!("{} before them", base.value));
            let problem =
                weights.iter().fold(problem, |problem, (span, weight)| problem.also(*span, weight.clone()));
            problems.push(problem.help(format!("priorities are 1 to {HIGHEST} here: {help}")));
        }
    }
    problems
}
