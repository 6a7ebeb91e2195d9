//! What a new configuration changes, for people to read and for the engine to leave alone what is not in it.

mod track;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use virtual_server::health::{Check, CheckKind};
use virtual_server::service::{Destination, Persistence, ServiceFlag, ServiceKey};
use vrrp::{ChecksumStyle, Preemption};

use crate::config::{
    AcceptMode, Config, EngineConfig, Follow, Memory, Transport, VirtualRouterConfig, VirtualServerConfig,
};

/// Returns a line for each thing that differs, like `virtual_router web: priority 150 -> 120`, by the keys of the
/// configuration file; none when the two configurations are equal.
pub fn differences(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    if old.node != new.node {
        lines.push(format!("this node: {} -> {}", old.node, new.node));
    }
    lines.extend(engine(&old.engine, &new.engine));
    for pair in paired(&old.peers, &new.peers) {
        let subject = format!("node {}", pair.name());
        pair.tell(&subject, &mut lines, |subject, old, new| {
            Vec::from_iter(changed(subject, "addresses", old, new, |set| list(set)))
        });
    }
    for pair in paired(&old.virtual_routers, &new.virtual_routers) {
        let subject = format!("virtual_router {}", pair.name());
        pair.tell(&subject, &mut lines, |subject, old, new| router(subject, old, new));
    }
    for pair in paired(&old.sync_groups, &new.sync_groups) {
        let subject = format!("sync_group {}", pair.name());
        pair.tell(&subject, &mut lines, members);
    }
    for pair in paired(&old.tracks, &new.tracks) {
        let subject = format!("track {}", pair.name());
        pair.tell(&subject, &mut lines, |subject, old, new| track::track(subject, old, new));
    }
    for pair in paired(&old.hooks, &new.hooks) {
        let subject = format!("hook {}", pair.name());
        pair.tell(&subject, &mut lines, |subject, _, _| vec![format!("{subject} changed")]);
    }
    for pair in paired(&old.virtual_servers, &new.virtual_servers) {
        let subject = format!("virtual_server {}", pair.name());
        pair.tell(&subject, &mut lines, |subject, old, new| server(subject, old, new));
    }
    lines
}

impl Config {
    /// Returns the same configuration with the old one's virtual routers, tracks, virtual servers and checks in place of
    /// equal ones, so that whoever compares them later needs to compare pointers only.
    #[must_use]
    pub fn adopt_unchanged(mut self, old: &Self) -> Self {
        for (name, router) in &mut self.virtual_routers {
            if let Some(known) = old.virtual_routers.get(name).filter(|known| *known == router) {
                *router = Arc::clone(known);
            }
        }
        for (name, track) in &mut self.tracks {
            if let Some(known) = old.tracks.get(name).filter(|known| *known == track) {
                *track = Arc::clone(known);
            }
        }
        for (name, server) in &mut self.virtual_servers {
            let Some(known) = old.virtual_servers.get(name) else { continue };
            if known == server {
                *server = Arc::clone(known);
            } else if known.check.is_some() && known.check == server.check {
                Arc::make_mut(server).check.clone_from(&known.check);
            }
        }
        self
    }
}

/// What the old and the new configuration have under one name.
enum Pair<'a, K, V> {
    Removed(&'a K),
    Added(&'a K),
    Both(&'a K, &'a V, &'a V),
}

impl<'a, K, V: PartialEq> Pair<'a, K, V> {
    fn name(&self) -> &'a K {
        match self {
            Self::Removed(name) | Self::Added(name) | Self::Both(name, _, _) => name,
        }
    }

    fn tell(
        &self,
        subject: &str,
        lines: &mut Vec<String>,
        compare: impl FnOnce(&str, &V, &V) -> Vec<String>,
    ) {
        match self {
            Self::Removed(_) => lines.push(format!("{subject} removed")),
            Self::Added(_) => lines.push(format!("{subject} added")),
            Self::Both(_, old, new) if old == new => {}
            Self::Both(_, old, new) => lines.extend(compare(subject, old, new)),
        }
    }
}

fn paired<'a, K: Ord, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = Pair<'a, K, V>> {
    let names: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter_map(|name| match (old.get(name), new.get(name)) {
        (Some(old), Some(new)) => Some(Pair::Both(name, old, new)),
        (Some(_), None) => Some(Pair::Removed(name)),
        (None, Some(_)) => Some(Pair::Added(name)),
        (None, None) => None,
    })
}

fn changed<T: PartialEq>(
    subject: &str,
    key: &str,
    old: &T,
    new: &T,
    show: impl Fn(&T) -> String,
) -> Option<String> {
    (old != new).then(|| format!("{subject}: {key} {} -> {}", show(old), show(new)))
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn optional<T>(value: Option<&T>, show: impl Fn(&T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), show)
}

fn plain<T: Display>(value: &T) -> String {
    value.to_string()
}

fn time(time: &Duration) -> String {
    if time.is_zero() { "0s".to_owned() } else { format!("{time:?}") }
}

fn engine(old: &EngineConfig, new: &EngineConfig) -> impl Iterator<Item = String> {
    let EngineConfig { realtime_priority, memory, processors, announcement_rate, address_lease } = old;
    let priority = |it: &Option<_>| optional(it.as_ref(), plain);
    let is_locked = |memory: &Memory| matches!(memory, Memory::Locked).to_string();
    [
        changed("engine", "realtime_priority", realtime_priority, &new.realtime_priority, priority),
        changed("engine", "lock_memory", memory, &new.memory, is_locked),
        changed("engine", "processors", processors, &new.processors, |it| {
            if it.is_empty() { "all".to_owned() } else { list(it) }
        }),
        changed("engine", "announcement_rate", announcement_rate, &new.announcement_rate, plain),
        changed("engine", "address_lease", address_lease, &new.address_lease, time),
    ]
    .into_iter()
    .flatten()
}

fn router(subject: &str, old: &VirtualRouterConfig, new: &VirtualRouterConfig) -> Vec<String> {
    let VirtualRouterConfig {
        interface,
        vrid,
        version,
        // It is that of the addresses.
        family: _,
        priority,
        interval,
        preemption,
        restraint,
        start_delay,
        checksum,
        transport,
        authentication,
        addresses,
        unadvertised,
        accept,
        device,
        routes,
        rules,
        announcements,
        tracks,
    } = old;
    let moments = (&announcements.repeat_after, &announcements.refresh);
    [
        changed(subject, "interface", interface, &new.interface, plain),
        changed(subject, "virtual_router_id", vrid, &new.vrid, plain),
        changed(subject, "version", version, &new.version, |version| version.number().to_string()),
        changed(subject, "priority", priority, &new.priority, plain),
        changed(subject, "advert_interval", interval, &new.interval, plain),
        changed(subject, "preempt", preemption, &new.preemption, |preemption| {
            match preemption {
                Preemption::Allowed => "true",
                Preemption::Refused => "false",
            }
            .to_owned()
        }),
        changed(subject, "hearing_wait", &restraint.unheard, &new.restraint.unheard, time),
        changed(
            subject,
            "preempt_delay",
            &restraint.before_preempting,
            &new.restraint.before_preempting,
            time,
        ),
        changed(subject, "start_delay", start_delay, &new.start_delay, time),
        changed(subject, "checksum", checksum, &new.checksum, |checksum| {
            match checksum {
                ChecksumStyle::MessageOnly => "rfc9568",
                ChecksumStyle::PseudoHeader => "pseudo-header",
            }
            .to_owned()
        }),
        changed(subject, "transport", transport, &new.transport, show_transport),
        // What differs is secret, or of interest only with what is.
        (*authentication != new.authentication).then(|| format!("{subject}: authentication changed")),
        changed(subject, "virtual_addresses", addresses, &new.addresses, |addresses| list(addresses)),
        changed(subject, "unadvertised_addresses", unadvertised, &new.unadvertised, |addresses| {
            list(addresses)
        }),
        changed(subject, "accept", accept, &new.accept, |accept| (*accept == AcceptMode::On).to_string()),
        changed(subject, "virtual_mac", device, &new.device, |device| device.is_some().to_string()),
        changed(subject, "virtual_routes", routes, &new.routes, |routes| list(routes)),
        changed(subject, "virtual_rules", rules, &new.rules, |rules| list(rules)),
        changed(subject, "announcements.burst", &announcements.burst, &new.announcements.burst, plain),
        changed(subject, "announcements.repeat_after", moments.0, &new.announcements.repeat_after, time),
        changed(subject, "announcements.refresh", moments.1, &new.announcements.refresh, time),
        changed(subject, "track", tracks, &new.tracks, |tracks| list(tracks)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn show_transport(transport: &Transport) -> String {
    match transport {
        Transport::Multicast { source: None } => "multicast".to_owned(),
        Transport::Multicast { source: Some(source) } => format!("multicast from {source}"),
        Transport::Unicast { source, peers, min_hop_limit } => {
            format!("unicast from {source} to {} (min_hop_limit {min_hop_limit})", list(peers))
        }
    }
}

fn members<T: Ord + Display>(subject: &str, old: &BTreeSet<T>, new: &BTreeSet<T>) -> Vec<String> {
    let left = old.difference(new).map(|member| format!("{subject}: {member} removed"));
    let come = new.difference(old).map(|member| format!("{subject}: {member} added"));
    left.chain(come).collect()
}

fn server(subject: &str, old: &VirtualServerConfig, new: &VirtualServerConfig) -> Vec<String> {
    let VirtualServerConfig {
        services,
        scheduler,
        flags,
        persistence,
        quorum,
        sorry_server,
        real_servers,
        check,
    } = old;
    let mut lines = members(subject, &shown_services(services), &shown_services(&new.services));
    lines.extend(
        [
            changed(subject, "scheduler", scheduler, &new.scheduler, plain),
            changed(subject, "flags", flags, &new.flags, |flags| {
                list(flags.iter().map(|flag| flag_name(*flag)))
            }),
            changed(subject, "persistence", persistence, &new.persistence, |it| {
                optional(it.as_ref(), |it| show_persistence(*it))
            }),
            changed(subject, "quorum", quorum, &new.quorum, plain),
            changed(subject, "sorry_server", sorry_server, &new.sorry_server, |it| {
                optional(it.as_ref(), |(address, sorry)| format!("{address} ({})", sorry.forwarding.name()))
            }),
        ]
        .into_iter()
        .flatten(),
    );
    for pair in paired(real_servers, &new.real_servers) {
        let subject = format!("{subject}: real server {}", pair.name());
        pair.tell(&subject, &mut lines, |subject, old, new| real_server(subject, *old, *new));
    }
    match (check, &new.check) {
        (Some(old), Some(new)) => lines.extend(changed_check(subject, old, new)),
        (Some(_), None) => lines.push(format!("{subject}: check removed")),
        (None, Some(_)) => lines.push(format!("{subject}: check added")),
        (None, None) => {}
    }
    lines
}

fn shown_services(services: &[(ServiceKey, Follow)]) -> BTreeSet<String> {
    let show = |(key, follow): &(ServiceKey, Follow)| match follow {
        Follow::Always => format!("service {key} always"),
        Follow::Routers(routers) => format!("service {key} following {}", list(routers)),
    };
    services.iter().map(show).collect()
}

fn flag_name(flag: ServiceFlag) -> &'static str {
    match flag {
        ServiceFlag::OnePacket => "one_packet",
        ServiceFlag::Scheduler1 => "flag-1",
        ServiceFlag::Scheduler2 => "flag-2",
        ServiceFlag::Scheduler3 => "flag-3",
    }
}

fn show_persistence(persistence: Persistence) -> String {
    format!("{}s for /{}", persistence.timeout_seconds, persistence.prefix_length)
}

fn real_server(subject: &str, old: Destination, new: Destination) -> Vec<String> {
    let Destination { weight, forwarding } = old;
    let weights = changed(subject, "weight", &weight.get(), &new.weight.get(), plain);
    let forwardings =
        changed(subject, "forward", &forwarding, &new.forwarding, |forwarding| forwarding.name().to_owned());
    weights.into_iter().chain(forwardings).collect()
}

fn changed_check(subject: &str, old: &Check, new: &Check) -> impl Iterator<Item = String> {
    let Check { kind, interval, timeout, rise, fall } = old;
    [
        changed(subject, "check", kind, &new.kind, show_kind),
        changed(subject, "check.interval", interval, &new.interval, time),
        changed(subject, "check.timeout", timeout, &new.timeout, time),
        changed(subject, "check.rise", rise, &new.rise, plain),
        changed(subject, "check.fall", fall, &new.fall, plain),
    ]
    .into_iter()
    .flatten()
}

fn show_kind(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Tcp => "tcp".to_owned(),
        CheckKind::Http(http) => {
            let status = list(http.status.iter().map(|(low, high)| format!("{low}-{high}")));
            let host = optional(http.host.as_ref(), plain);
            let body = optional(http.body.as_ref(), |body| format!("{body:?}"));
            format!("http {} (host {host}, status {status}, body {body})", http.path)
        }
    }
}

#[cfg(test)]
mod tests;
