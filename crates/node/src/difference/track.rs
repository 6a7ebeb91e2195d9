//! What a new configuration changes of a track.

use super::{changed, list, optional, plain, time};
use crate::script::Script;
use crate::track::{Delays, Requirement, Sense, TrackConfig, TrackKind};

pub(super) fn track(subject: &str, old: &TrackConfig, new: &TrackConfig) -> Vec<String> {
    let TrackConfig { kind, sense, effect } = old;
    let mut lines = looks(subject, kind, &new.kind);
    lines.extend(changed(subject, "reverse", sense, &new.sense, |sense| match sense {
        Sense::Straight => "false".to_owned(),
        Sense::Reversed => "true".to_owned(),
    }));
    lines.extend(changed(subject, "effect", effect, &new.effect, plain));
    lines
}

fn looks(subject: &str, old: &TrackKind, new: &TrackKind) -> Vec<String> {
    match (old, new) {
        (
            TrackKind::Interface { interface, requirement, delays },
            TrackKind::Interface {
                interface: new_interface,
                requirement: new_requirement,
                delays: new_delays,
            },
        ) => {
            let needs_address = |requirement: &Requirement| match requirement {
                Requirement::Carrier => "false".to_owned(),
                Requirement::Address => "true".to_owned(),
            };
            let changes = [
                changed(subject, "interface", interface, new_interface, plain),
                changed(subject, "needs_address", requirement, new_requirement, needs_address),
            ];
            changes.into_iter().flatten().chain(changed_delays(subject, delays, new_delays)).collect()
        }
        (
            TrackKind::Script { script, interval, timeout, rise, fall },
            TrackKind::Script {
                script: new_script,
                interval: new_interval,
                timeout: new_timeout,
                rise: new_rise,
                fall: new_fall,
            },
        ) => [
            changed(subject, "script", script, new_script, show_script),
            changed(subject, "interval", interval, new_interval, time),
            changed(subject, "timeout", timeout, new_timeout, time),
            changed(subject, "rise", rise, new_rise, plain),
            changed(subject, "fall", fall, new_fall, plain),
        ]
        .into_iter()
        .flatten()
        .collect(),
        (
            TrackKind::Process { name, minimum, interval, delays },
            TrackKind::Process {
                name: new_name,
                minimum: new_minimum,
                interval: new_interval,
                delays: new_delays,
            },
        ) => [
            changed(subject, "process", name, new_name, plain),
            changed(subject, "quorum", minimum, new_minimum, plain),
            changed(subject, "interval", interval, new_interval, time),
        ]
        .into_iter()
        .flatten()
        .chain(changed_delays(subject, delays, new_delays))
        .collect(),
        (TrackKind::File { path, interval }, TrackKind::File { path: new_path, interval: new_interval }) => [
            changed(subject, "file", path, new_path, |path| path.display().to_string()),
            changed(subject, "interval", interval, new_interval, time),
        ]
        .into_iter()
        .flatten()
        .collect(),
        (
            old @ (TrackKind::Interface { .. }
            | TrackKind::Script { .. }
            | TrackKind::Process { .. }
            | TrackKind::File { .. }),
            new,
        ) => vec![format!("{subject}: {old} -> {new}")],
    }
}

fn changed_delays(subject: &str, old: &Delays, new: &Delays) -> impl Iterator<Item = String> {
    let Delays { up, down } = old;
    let changes = [
        changed(subject, "up_delay", up, &new.up, time),
        changed(subject, "down_delay", down, &new.down, time),
    ];
    changes.into_iter().flatten()
}

fn show_script(script: &Script) -> String {
    let arguments = list(script.arguments());
    format!("{} ({arguments}; user {})", script.program().display(), optional(script.user(), plain))
}
