//! What packets that no node of the group would send do to an election: nothing, it should be.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use lab::{Packet, Stranger};

use super::contender::{Contender, Each, Programs};
use super::duty::{Dialect, FIRST, PAIR, PASSWORD, Routers, SECOND};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::table::{Goal, Quantity, Row};

/// Short enough that a node that is silenced would be succeeded several times over.
const INTERVAL: Duration = Duration::from_millis(100);
/// The shortest of version 2.
const INTERVAL_V2: Duration = Duration::from_secs(1);
/// How long a stranger sends.
const TIME: Duration = Duration::from_secs(3);
/// How many packets it sends in a second: fewer than anybody would notice, and as many as a sender manages.
const RATES: [u32; 2] = [40, 50_000];
/// By how much an advertisement may come too late.
const LATENESS_GOAL: Duration = Duration::from_millis(10);

/// The virtual router's number among those of the laboratory, and where it and the address stand in a message.
const VRID: u8 = 1;
const VRID_OFFSET: usize = 1;
const ADDRESS_OFFSET: usize = 8;
/// Where the interval of version 2 stands, the kind of its authentication, and the password behind one address.
const INTERVAL_OFFSET_V2: usize = 5;
const AUTHENTICATION_OFFSET: usize = 4;
const PASSWORD_OFFSET: usize = 12;
/// Simple text: [RFC 2338, section 5.3.6](https://www.rfc-editor.org/rfc/rfc2338#section-5.3.6).
const SIMPLE_TEXT: u8 = 1;

/// What is wrong with the packets of a flood, all of which are of the highest priority.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// They are no advertisements.
    Form,
    /// Of version 2: they do not prove where they come from, or promise another interval.
    Proof,
    /// They come from the node that hears them. Nobody but this node can tell that, so the other one believes them.
    OwnSource,
    /// They come to a node of a unicast group from somebody who is not in it.
    UnknownSource,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Form, Self::Proof, Self::OwnSource, Self::UnknownSource];

    /// The group that would have to believe them.
    fn routers(self) -> Routers {
        match self {
            Self::Form | Self::OwnSource => Routers::one(PAIR, INTERVAL),
            Self::Proof => Routers { dialect: Dialect::Version2, ..Routers::one(PAIR, INTERVAL_V2) },
            Self::UnknownSource => {
                Routers { dialect: Dialect::Version3Unicast, ..Routers::one(PAIR, INTERVAL) }
            }
        }
    }

    /// One packet for each thing that can be wrong, and that is all that is wrong with it.
    fn packets(self, address: Ipv4Addr) -> Vec<Packet> {
        let of_group =
            |packet: Packet| packet.with(VRID_OFFSET, &[VRID]).with(ADDRESS_OFFSET, &address.octets());
        let good = of_group(Packet::version_3(255));
        let sealed = Packet::with_pseudo_header_checksum;
        match self {
            Self::Form => vec![
                sealed(Packet { hop_limit: 254, ..good.clone() }),
                sealed(good.clone()).with_wrong_checksum(),
                of_group(Packet::version_2(255)),
                sealed(good.clone().with(0, &[0x41])),
                sealed(good.clone().with(0, &[0x32])),
                sealed(good.clone().with_length(10)),
                sealed(good.with(3, &[2])),
            ],
            Self::Proof => {
                let without = of_group(Packet::version_2(255));
                let with = |password: &str| {
                    let kind = without.clone().with(AUTHENTICATION_OFFSET, &[SIMPLE_TEXT]);
                    kind.with(PASSWORD_OFFSET, password.as_bytes())
                };
                vec![without.clone(), with("s3cret78"), with(PASSWORD).with(INTERVAL_OFFSET_V2, &[2])]
            }
            Self::OwnSource => vec![sealed(Packet { source: FIRST.address.into(), ..good })],
            Self::UnknownSource => {
                let to = |node: IpAddr| sealed(Packet { destination: node, ..good.clone() });
                PAIR.iter().map(|node| to(node.address.into())).collect()
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Form => "wrong TTL, checksum, version, type or length",
            Self::Proof => "version 2, wrong password or interval",
            Self::OwnSource => "own source",
            Self::UnknownSource => "unicast, unknown source",
        })
    }
}

/// What a flood did.
#[derive(Clone, Copy, Debug, Default)]
struct Damage {
    /// By how much the longest pause between advertisements was longer than the interval.
    lateness: Duration,
    /// How often another node than before advertised.
    transitions: u32,
    /// Requests that nobody answered.
    lost: u32,
}

/// Lets a stranger loose on a pair of each program.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for fault in Fault::ALL {
        for rate in RATES {
            let mut damage = Each::<Damage>::default();
            for contender in Contender::BOTH {
                *damage.of(contender) = flood(programs, contender, fault, rate)?;
            }
            rows.extend(rows_of(fault, rate, &damage));
        }
    }
    Ok(rows)
}

fn rows_of(fault: Fault, rate: u32, damage: &Each<Damage>) -> [Row; 3] {
    let interval = fault.routers().interval;
    let row = |what: &str, limit, quantity: fn(&Damage) -> Quantity| Row {
        figure: format!("{fault}: {rate} packets a second for {TIME:?}, at {interval:?}: {what}"),
        keepalived: Some(quantity(&damage.keepalived)),
        baton: quantity(&damage.baton),
        goal: Goal::AtMost(limit, String::new()),
    };
    [
        row("advertisements late by", Quantity::Time(LATENESS_GOAL), |damage| {
            Quantity::Time(damage.lateness)
        }),
        row("transitions", Quantity::Count(0), |damage| Quantity::Count(damage.transitions)),
        row("lost of 1,000 requests a second", Quantity::Count(0), |damage| Quantity::Count(damage.lost)),
    ]
}

fn flood(programs: &Programs, contender: Contender, fault: Fault, rate: u32) -> Result<Damage, BenchError> {
    let routers = fault.routers();
    let lab = laboratory(routers)?;
    // Otherwise the kernel drops what comes from the node's own address before anybody sees it.
    lab.namespace(FIRST.name).set_sysctl("net/ipv4/conf/all/accept_local", "1")?;
    let group = Group::elect(&lab, programs, &[contender; 2], routers)?;
    let prober = group.ask()?;
    let stranger = Stranger::at(lab.namespace("client"))?;

    let begin = Instant::now();
    let sent = stranger.flood(&fault.packets(group.address()), rate, TIME)?;
    // Whoever was succeeded during the flood comes back after it, and that counts too.
    thread::sleep(routers.floor());
    let nodes = [FIRST.address, SECOND.address];
    let turns = group.advertisements().turns(&nodes, begin);
    let end = Instant::now();
    let lost = prober.stop()?.since(begin).lost();
    group.end()?;
    // From the beginning and to the end, so that a node which fell silent for good is not taken for a punctual one.
    let moments: Vec<_> = [begin].into_iter().chain(turns.iter().map(|turn| turn.0)).chain([end]).collect();
    let longest_pause = moments.windows(2).map(|pair| pair[1].duration_since(pair[0])).max();
    let transitions = turns.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    let damage = Damage {
        lateness: longest_pause.unwrap_or_default().saturating_sub(routers.interval),
        transitions: u32::try_from(transitions).expect("there are few advertisements"),
        lost: u32::try_from(lost).expect("there are few requests"),
    };
    println!("{fault}, {sent} packets, {rate} a second, {contender}: {damage:?}");
    Ok(damage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_for_the_group_s_virtual_router_and_of_the_highest_priority() {
        for fault in Fault::ALL {
            for packet in fault.packets(Ipv4Addr::new(10, 77, 1, 1)) {
                assert_eq!(packet.message[VRID_OFFSET..=2], [VRID, 255], "{fault}: {packet:?}");
                let address = packet.message.get(ADDRESS_OFFSET..ADDRESS_OFFSET + 4);
                assert!(address.is_none_or(|octets| octets == [10, 77, 1, 1]), "{fault}: {packet:?}");
            }
        }
    }
}
