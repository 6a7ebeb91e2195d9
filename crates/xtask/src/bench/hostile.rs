//! What packets that are no advertisements do to an election: nothing, it should be.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

use lab::{Lab, Namespace};
use socket2::{Domain, Protocol, Socket, Type};

use super::contender::{Contender, Each, Programs};
use super::duty::{FIRST, PAIR, Routers, SECOND, Track};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::table::{Goal, Quantity, Row};

/// Short enough that a node that is silenced would be succeeded several times over.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long a stranger sends.
const TIME: Duration = Duration::from_secs(3);
/// How many packets it sends in a second: fewer than anybody would notice, and as many as a sender manages.
const RATES: [u32; 2] = [40, 50_000];
/// By how much an advertisement may come too late.
const LATENESS_GOAL: Duration = Duration::from_millis(10);

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 18), 0);
/// VRRP's protocol number.
const VRRP: i32 = 112;

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
    let routers = Routers { nodes: PAIR, count: 1, interval: INTERVAL, track: Track::Nothing };
    let lab = laboratory(routers)?;
    let mut rows = Vec::new();
    for rate in RATES {
        let mut damage = Each::<Damage>::default();
        for contender in Contender::BOTH {
            *damage.of(contender) = flood(&lab, programs, contender, routers, rate)?;
        }
        rows.extend(rows_of(rate, &damage));
    }
    Ok(rows)
}

fn rows_of(rate: u32, damage: &Each<Damage>) -> [Row; 3] {
    let row = |what: &str, limit, quantity: fn(&Damage) -> Quantity| Row {
        figure: format!("{rate} bad packets a second for {TIME:?}, at {INTERVAL:?}: {what}"),
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

fn flood(
    lab: &Lab,
    programs: &Programs,
    contender: Contender,
    routers: Routers,
    rate: u32,
) -> Result<Damage, BenchError> {
    let group = Group::elect(lab, programs, &[contender; 2], routers)?;
    let prober = group.ask()?;
    let stranger = Stranger::at(lab.namespace("client"), group.address())?;

    let begin = Instant::now();
    let sent = stranger.send(rate, TIME).map_err(BenchError::system("send bad packets"))?;
    // Whoever was succeeded during the flood comes back after it, and that counts too.
    thread::sleep(routers.floor());
    let nodes = [FIRST.address, SECOND.address];
    let turns = group.advertisements().turns(&nodes, begin);
    let lost = prober.stop()?.since(begin).lost();
    group.end()?;
    let pauses = turns.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0));
    let transitions = turns.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    let damage = Damage {
        lateness: pauses.max().unwrap_or(TIME).saturating_sub(INTERVAL),
        transitions: u32::try_from(transitions).expect("there are few advertisements"),
        lost: u32::try_from(lost).expect("there are few requests"),
    };
    println!("{sent} bad packets, {rate} a second, {contender}: {damage:?}");
    Ok(damage)
}

/// Somebody on the segment who knows the virtual router's number and its address.
struct Stranger {
    near: Socket,
    /// Its packets look as if a router had forwarded them.
    far: Socket,
    address: Ipv4Addr,
}

impl Stranger {
    fn at(machine: &Namespace, address: Ipv4Addr) -> Result<Self, BenchError> {
        let open = |hops: u32| -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(VRRP)))?;
            socket.bind_device(Some(b"eth0"))?;
            socket.set_multicast_ttl_v4(hops)?;
            socket.set_multicast_loop_v4(false)?;
            Ok(socket)
        };
        let sockets = machine.enter(|| Ok((open(255)?, open(254)?)))?;
        let (near, far) = sockets.map_err(BenchError::system("open a raw socket"))?;
        Ok(Self { near, far, address })
    }

    /// Sends bad packets in turn, at most so many a second, and returns how many.
    fn send(&self, rate: u32, time: Duration) -> io::Result<u32> {
        let packets = self.packets();
        let (begin, mut sent) = (Instant::now(), 0_u32);
        let pause = (Duration::from_secs(1) / rate).max(Duration::from_millis(1));
        while begin.elapsed() < time {
            let due = begin.elapsed().as_micros() * u128::from(rate) / 1_000_000;
            while u128::from(sent) <= due && begin.elapsed() < time {
                let (socket, packet) = &packets[usize::try_from(sent).unwrap_or(0) % packets.len()];
                socket.send_to(packet, &GROUP.into())?;
                sent += 1;
            }
            thread::sleep(pause);
        }
        Ok(sent)
    }

    /// One for each thing that can be wrong, each of the highest priority.
    fn packets(&self) -> Vec<(&Socket, Vec<u8>)> {
        let message = |change: fn(&mut Vec<u8>)| {
            let mut message = vec![0x31, 1, 255, 1, 0, 10, 0, 0];
            message.extend(self.address.octets());
            change(&mut message);
            let checksum = checksum(&message);
            message[6..8].copy_from_slice(&checksum.to_be_bytes());
            message
        };
        let mut wrong_checksum = message(|_| ());
        wrong_checksum[6] ^= 0x55;
        vec![
            (&self.far, message(|_| ())),
            (&self.near, wrong_checksum),
            (&self.near, message(|message| message[0] = 0x21)),
            (&self.near, message(|message| message[0] = 0x41)),
            (&self.near, message(|message| message[0] = 0x32)),
            (&self.near, message(|message| message.truncate(10))),
            (&self.near, message(|message| message[3] = 2)),
        ]
    }
}

/// The checksum over the message alone: [RFC 1071](https://www.rfc-editor.org/rfc/rfc1071).
fn checksum(message: &[u8]) -> u16 {
    let words = message.as_chunks::<2>().0.iter();
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while let Ok(1..) = u16::try_from(sum >> 16) {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).expect("what does not fit was carried")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_an_advertisement_as_the_rfc_draws_it() {
        assert_eq!(checksum(&[0x31, 51, 100, 1, 0x00, 100, 0, 0, 10, 77, 0, 50]), 0x5FE8);
    }
}
