//! `[virtual_server.NAME]`: a virtual server as the file describes it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use node::name::ServerName;
use toml::de::DeValue;
use virtual_server::health::Check;
use virtual_server::service::{Forwarding, Protocol, Scheduler, ServiceFlag, Weight};

use super::check_section;
use super::field::Field;
use super::problem::{At, Problem};
use super::section::Section;

/// Every key of a virtual server.
pub(super) const KEYS: &[&str] = &[
    "address",
    "addresses",
    "check",
    "follow",
    "forward",
    "fwmark",
    "one_packet",
    "persistence",
    "persistence_prefix",
    "protocol",
    "quorum",
    "real_servers",
    "scheduler",
    "scheduler_flags",
    "sorry_server",
];

/// Every key of a real server that is written as a table.
pub(super) const REAL_SERVER_KEYS: &[&str] = &["address", "forward", "weight"];

/// Every key of a sorry server that is written as a table.
pub(super) const SORRY_SERVER_KEYS: &[&str] = &["address", "forward"];

/// The longest persistence, 31 days as `ipvsadm` has it.
const PERSISTENCE_LIMIT: Duration = Duration::from_hours(31 * 24);

/// What packets a virtual server takes.
#[derive(Debug)]
pub(super) enum Listen {
    /// Those to these addresses and ports.
    Addresses(Vec<At<SocketAddr>>),
    /// Those with this firewall mark.
    Mark(At<NonZeroU32>),
}

/// A real server whose port may still be the virtual server's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backend {
    /// Its address.
    pub(super) address: IpAddr,
    /// Its port, if it is named.
    pub(super) port: Option<u16>,
    /// Its share.
    pub(super) weight: Weight,
    /// How packets reach it, if it is named.
    pub(super) forwarding: Option<Forwarding>,
}

/// How long clients stay with their real server.
#[derive(Debug)]
pub(super) struct PersistenceSection {
    /// After the last connection.
    pub(super) timeout_seconds: At<NonZeroU32>,
    /// How many bits of a client's address count.
    pub(super) prefix_length: Option<At<u8>>,
}

/// A virtual server as the file describes it.
#[derive(Debug)]
pub(super) struct ServerSection {
    /// Its name.
    pub(super) name: At<ServerName>,
    /// What packets it takes.
    pub(super) listen: Listen,
    /// The protocol.
    pub(super) protocol: At<Protocol>,
    /// How it chooses.
    pub(super) scheduler: Scheduler,
    /// What is on.
    pub(super) flags: BTreeSet<ServiceFlag>,
    /// Where `one_packet = true` stands.
    pub(super) one_packet: At<bool>,
    /// How packets reach the real servers that say nothing else.
    pub(super) forwarding: Forwarding,
    /// Whom it follows.
    pub(super) follow: Option<At<String>>,
    /// The weights it needs.
    pub(super) quorum: u32,
    /// Who serves without the quorum.
    pub(super) sorry_server: Option<At<Backend>>,
    /// How long clients stay.
    pub(super) persistence: Option<PersistenceSection>,
    /// Who serves.
    pub(super) real_servers: Vec<At<Backend>>,
    /// How they are checked.
    pub(super) check: Option<At<Arc<Check>>>,
}

impl ServerSection {
    /// Reads the table of the virtual server of this name.
    pub(super) fn read(name: At<&str>, field: Field<'_>) -> Option<Self> {
        let section = Section::open(format!("virtual server {}", name.value), name.span, field, KEYS)?;
        let name = section.name(name, ServerName::new);
        let listen = listen(&section);
        let protocol =
            section.optional("protocol", |field| field.word(&Protocol::ALL.map(|it| (it.name(), it))));
        let scheduler =
            section.optional("scheduler", |field| field.word(&Scheduler::ALL.map(|it| (it.name(), it))));
        let scheduler = section.or(scheduler, Scheduler::Wlc).value;
        let one_packet = section.optional("one_packet", |field| field.boolean());
        let one_packet = section.or(one_packet, false);
        let mut flags: BTreeSet<_> = section
            .list("scheduler_flags", |field| scheduler_flag(&field, scheduler))
            .into_iter()
            .map(|flag| flag.value)
            .collect();
        if one_packet.value {
            flags.insert(ServiceFlag::OnePacket);
        }
        let forwarding = section.optional("forward", forwarding);
        let quorum = section.optional("quorum", |field| field.integer(1..=u32::MAX));
        let check = section
            .field("check")
            .map(|field| check_section::read(section.title(), field).map(|check| field.at(Arc::new(check))));
        let follow = section.optional("follow", |field| Some(field.text()?.to_owned()));
        let persistence = persistence(&section);
        let sorry_server =
            section.optional("sorry_server", |field| backend(field, "a sorry server", SORRY_SERVER_KEYS));
        let quorum = section.or(quorum, 1);
        let real_servers = real_servers(&section, quorum);
        Some(Self {
            name: name?,
            listen: listen?,
            protocol: section.or(protocol, Protocol::Tcp),
            scheduler,
            flags,
            one_packet,
            forwarding: section.or(forwarding, Forwarding::Nat).value,
            follow,
            quorum: quorum.value,
            sorry_server,
            persistence,
            real_servers,
            check: check.flatten(),
        })
    }
}

/// Reads exactly one of `address`, `addresses` and `fwmark`.
fn listen(section: &Section<'_>) -> Option<Listen> {
    let present: Vec<_> =
        ["address", "addresses", "fwmark"].iter().filter_map(|key| section.field(key)).collect();
    match present.as_slice() {
        [] => {
            section.report(
                section
                    .missing("address", "address = \"10.77.0.50:80\", or addresses = [...], or fwmark = 7"),
            );
            None
        }
        [field] => match field.key() {
            "address" => Some(Listen::Addresses(vec![field.at(service_address(field)?)])),
            "addresses" => {
                let fields = field.list()?;
                if fields.is_empty() {
                    field.report(
                        field
                            .problem(format!("No address in {}", section.title()))
                            .label("the list is empty"),
                    );
                    return None;
                }
                let read = |field: &Field<'_>| Some(field.at(service_address(field)?));
                // Each address that cannot be read is reported, not only the first.
                let addresses: Vec<_> = fields.iter().map(read).collect();
                addresses.into_iter().collect::<Option<_>>().map(Listen::Addresses)
            }
            _ => {
                let mark: u32 = field.integer(1..=u32::MAX)?;
                NonZeroU32::new(mark).map(|mark| Listen::Mark(field.at(mark)))
            }
        },
        [first, second, ..] => {
            section.report(
                Problem::at(
                    second.span(),
                    format!("Both `{}` and `{}` in {}", first.key(), second.key(), section.title()),
                )
                .label("the second one")
                .also(first.span(), "the first one")
                .help(
                    "a virtual server has exactly one of `address`, `addresses` and `fwmark`: leave one out",
                ),
            );
            None
        }
    }
}

fn service_address(field: &Field<'_>) -> Option<SocketAddr> {
    let (address, port) = field.endpoint()?;
    if let Some(port) = port {
        return Some(SocketAddr::new(address, port));
    }
    field.report(field.problem("The address of a virtual server has no port").label("which port?").help(
        format!(
            "write \"{}\"; port 0 stands for every port and needs `persistence`",
            SocketAddr::new(address, 80)
        ),
    ));
    None
}

fn forwarding(field: Field<'_>) -> Option<Forwarding> {
    field.word(&[Forwarding::Nat, Forwarding::Direct, Forwarding::Tunnel].map(|it| (it.name(), it)))
}

fn scheduler_flag(field: &Field<'_>, scheduler: Scheduler) -> Option<ServiceFlag> {
    let numbered = [
        ("flag-1", ServiceFlag::Scheduler1),
        ("flag-2", ServiceFlag::Scheduler2),
        ("flag-3", ServiceFlag::Scheduler3),
    ];
    let named = [("fallback", ServiceFlag::Scheduler1), ("port", ServiceFlag::Scheduler2)];
    if matches!(scheduler, Scheduler::Sh | Scheduler::Mh) {
        return field.word(&[named.as_slice(), &numbered].concat());
    }
    let text = field.text()?;
    if named.iter().any(|(name, _)| *name == text) {
        field.report(
            field
                .problem(format!("The scheduler {scheduler} has no flag {text:?}"))
                .label("a flag of the schedulers sh and mh")
                .help("leave it out, or choose scheduler = \"sh\" or \"mh\""),
        );
        return None;
    }
    field.word(&numbered)
}

/// Reads the real servers, and whether they can reach the quorum.
fn real_servers(section: &Section<'_>, quorum: At<u32>) -> Vec<At<Backend>> {
    let read = |field| backend(field, "a real server", REAL_SERVER_KEYS);
    let servers = section.list("real_servers", read);
    let Some(field) = section.field("real_servers") else {
        section.report(section.missing("real_servers", "real_servers = [\"10.78.0.21:80\"]"));
        return servers;
    };
    let DeValue::Array(listed) = field.value() else { return servers };
    if listed.is_empty() {
        section.report(
            field
                .problem(format!("No real server in {}", section.title()))
                .label("nobody would serve")
                .help("name at least one: real_servers = [\"10.78.0.21:80\"]"),
        );
    }
    let reachable: u64 = servers.iter().map(|backend| u64::from(backend.value.weight.get())).sum();
    if u64::from(quorum.value) > reachable && !listed.is_empty() && listed.len() == servers.len() {
        section.report(
            Problem::at(quorum.span, format!("The quorum of {} can never be reached", section.title()))
                .label(format!(
                    "needs a weight of {}, all real servers together have {reachable}",
                    quorum.value
                ))
                .help("lower `quorum`, or add real servers or weight"),
        );
    }
    servers
}

/// Reads `"10.78.0.21:80"` or a table with that address.
fn backend<'a>(field: Field<'a>, what: &'a str, keys: &[&str]) -> Option<Backend> {
    if !matches!(field.value(), DeValue::Table(_)) {
        let (address, port) = field.endpoint()?;
        return Some(Backend { address, port, weight: Weight::DEFAULT, forwarding: None });
    }
    let section = Section::open(what, field.span(), field, keys)?;
    let weight = section.optional("weight", |field| field.integer(0..=u16::MAX.into()));
    let forwarding = section.optional("forward", forwarding);
    let endpoint = section.required("address", "address = \"10.78.0.21:80\"", |field| field.endpoint());
    let (address, port) = endpoint?.value;
    Some(Backend {
        address,
        port,
        weight: weight.map_or(Weight::DEFAULT, |weight| Weight::new(weight.value)),
        forwarding: forwarding.map(|forwarding| forwarding.value),
    })
}

fn persistence(section: &Section<'_>) -> Option<PersistenceSection> {
    let prefix_length = section.optional("persistence_prefix", |field| field.integer(1..=128));
    let timeout_seconds = section.optional("persistence", |field| {
        let time = field.duration(Duration::from_secs(1)..=PERSISTENCE_LIMIT)?;
        if time.subsec_nanos() != 0 {
            let problem =
                field.problem("The kernel counts persistence in whole seconds").label("not whole seconds");
            field.report(problem.help(format!("for example: persistence = \"{}s\"", time.as_secs())));
            return None;
        }
        u32::try_from(time.as_secs()).ok().and_then(NonZeroU32::new)
    });
    match (timeout_seconds, prefix_length) {
        (Some(timeout_seconds), prefix_length) => Some(PersistenceSection { timeout_seconds, prefix_length }),
        (None, Some(prefix_length)) if section.field("persistence").is_none() => {
            section.report(
                Problem::at(prefix_length.span, "`persistence_prefix` does nothing without `persistence`")
                    .label("clients do not stay anywhere")
                    .help("add: persistence = \"300s\""),
            );
            None
        }
        (None, _) => None,
    }
}
