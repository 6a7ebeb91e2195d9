//! What is broken on purpose, and what the client noticed.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lab::{Fate, Timeline};
use node::config::VirtualServerConfig;
use node::name::NodeName;
use virtual_server::health::Check;

use super::RehearseError;
use super::cast::Cast;
use super::layout::server_machine;
use super::target::Question;
use super::witness::Witness;

/// One way to break things. Each ends with everything as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drill {
    /// The Active vanishes without a word.
    Crash,
    /// The Active is stopped in order.
    Stop,
    /// The Active passes its role on, and comes back when it is released.
    Pass,
    /// The preferred node comes back.
    Failback,
    /// A real server vanishes without a word.
    RealServerDeath,
}

/// What a drill showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub drill: Drill,
    /// Who serves now, in the words of the report.
    pub successor: String,
    /// How long the client was not served.
    pub outage: Duration,
    pub lost: usize,
    pub sent: usize,
    /// How long the protocol, or the check as configured, makes everybody wait.
    pub floor: Duration,
    /// How much of that had passed when the client got its last answer: a crash takes a moment to be made.
    pub passed: Duration,
}

impl Drill {
    /// Returns the drills that a target can be put through, in their order.
    pub fn for_question(question: &Question) -> Vec<Self> {
        let mut drills = vec![Self::Crash, Self::Stop, Self::Pass, Self::Failback];
        if dying(question).is_some() {
            drills.push(Self::RealServerDeath);
        }
        drills
    }

    /// Breaks, measures and mends.
    ///
    /// # Errors
    /// [`RehearseError`] says what did not happen that had to.
    pub fn carry_out(self, cast: &mut Cast<'_>) -> Result<Outcome, RehearseError> {
        let outcome = match self {
            Self::Crash => crash(cast)?,
            Self::Stop => stop(cast)?,
            Self::Pass => pass(cast)?,
            Self::Failback => fail_back(cast)?,
            Self::RealServerDeath => kill_real_server(cast)?,
        };
        cast.settle()?;
        Ok(outcome)
    }
}

impl fmt::Display for Drill {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Crash => "crash",
            Self::Stop => "stop",
            Self::Pass => "pass",
            Self::Failback => "failback",
            Self::RealServerDeath => "real server death",
        })
    }
}

fn crash(cast: &mut Cast<'_>) -> Result<Outcome, RehearseError> {
    let active = active(cast)?;
    let router = cast.nodes.router(&active, &cast.target.router);
    let backup = cast.nodes.names().find(|node| **node != active).expect("a layout has two nodes");
    let client = cast.client()?;
    // Only now, so that no earlier advertisement waits in its socket.
    let witness = Witness::listen(cast.machine(backup), router.family, router.vrid)?;
    witness.wait(cast.limit())?;
    let heard = Instant::now();
    cast.crash(&active)?;
    // A slow machine takes longer to cut the cables than a fast Active to advertise again.
    let heard = heard + router.interval.duration() * witness.count()?;
    let successor = wait_for_successor(cast, &active)?;
    let seen = cast.observe(client, heard)?;
    cast.reboot(&active)?;
    let view = cast.nodes.router(&successor, &cast.target.router);
    let floor = router.interval.active_down(view.version, view.priority);
    let passed = seen.longest_gap().from.saturating_duration_since(heard);
    Ok(Outcome { passed, ..Outcome::of_gap(Drill::Crash, successor.to_string(), &seen, floor) })
}

fn stop(cast: &mut Cast<'_>) -> Result<Outcome, RehearseError> {
    let active = active(cast)?;
    let client = cast.client()?;
    let broken = Instant::now();
    cast.stop_daemon(&active)?;
    let successor = wait_for_successor(cast, &active)?;
    let seen = cast.observe(client, broken)?;
    cast.start_daemon(&active)?;
    Ok(Outcome::of_gap(Drill::Stop, successor.to_string(), &seen, Duration::ZERO))
}

fn pass(cast: &mut Cast<'_>) -> Result<Outcome, RehearseError> {
    let active = active(cast)?;
    let router = cast.target.router.clone();
    let client = cast.client()?;
    let broken = Instant::now();
    cast.order(&active, &["pass", router.as_str()])?;
    let successor = wait_for_successor(cast, &active)?;
    let seen = cast.observe(client, broken)?;
    cast.order(&active, &["release", router.as_str()])?;
    Ok(Outcome::of_gap(Drill::Pass, successor.to_string(), &seen, Duration::ZERO))
}

fn fail_back(cast: &mut Cast<'_>) -> Result<Outcome, RehearseError> {
    let returning = active(cast)?;
    cast.stop_daemon(&returning)?;
    let deputy = wait_for_successor(cast, &returning)?;
    let client = cast.client()?;
    let broken = Instant::now();
    cast.start_daemon(&returning)?;
    cast.settle()?;
    let seen = cast.observe(client, broken)?;
    let holder = active(cast)?;
    let successor = if holder == deputy { format!("{deputy} stays") } else { holder.to_string() };
    Ok(Outcome::of_gap(Drill::Failback, successor, &seen, Duration::ZERO))
}

fn kill_real_server(cast: &mut Cast<'_>) -> Result<Outcome, RehearseError> {
    let (server, check) = dying(&cast.target.question).expect("the drill is only offered with one");
    let floor = check.interval * u32::from(check.fall.get()) + check.timeout;
    let client = cast.client()?;
    let active = active(cast)?;
    // The one that answered last is one that this client is sent to.
    let victim = latest(&client.timeline()).ok_or(RehearseError::Nameless)?;
    let machine = server_machine(victim.parse::<SocketAddr>().map_err(|_| RehearseError::Nameless)?.ip());
    let broken = Instant::now();
    cast.lab.detach(&machine)?;
    cast.watch.wait_until(
        &format!("{active}'s verdict that {victim} is down"),
        cast.limit() + floor,
        || {
            let status = cast.status(&active);
            let servers = status.as_ref().and_then(|status| status.virtual_servers.get(server));
            let real_server = servers.and_then(|servers| servers.real_servers.get(&victim));
            Ok(real_server.is_some_and(|real_server| real_server.state == "down"))
        },
    )?;
    let judged = Instant::now();
    let seen = cast.observe(client, broken)?;
    cast.lab.attach(&machine)?;
    let answered = seen.since(judged);
    let successors: Vec<_> = answered.answered_by().into_keys().filter(|name| *name != victim).collect();
    let successor = match successors.as_slice() {
        [only] => (*only).to_owned(),
        several => format!("{} others", several.len()),
    };
    let of_gap = Outcome::of_gap(Drill::RealServerDeath, successor, &seen, floor);
    Ok(Outcome { outage: span_of_loss(&seen), ..of_gap })
}

impl Outcome {
    fn of_gap(drill: Drill, successor: String, seen: &Timeline, floor: Duration) -> Self {
        let outage = seen.longest_gap().duration();
        let (lost, sent) = (seen.lost(), seen.sent());
        Self { drill, successor, outage, lost, sent, floor, passed: Duration::ZERO }
    }
}

/// The virtual server's name and check if a real server's death is noticed and survived.
fn dying(question: &Question) -> Option<(&str, &Check)> {
    let Question::Web { server, config, .. } = question else { return None };
    let VirtualServerConfig { real_servers, sorry_server, check, .. } = config.as_ref();
    let addresses = real_servers.keys().chain(sorry_server.iter().map(|(address, _)| address));
    let machines: BTreeSet<IpAddr> = addresses.map(SocketAddr::ip).collect();
    let check = check.as_deref()?;
    (machines.len() > 1).then_some((server.as_str(), check))
}

/// The one node that holds the address.
fn active(cast: &Cast<'_>) -> Result<NodeName, RehearseError> {
    let address = cast.target.address();
    match cast.holders(address)?.as_slice() {
        [active] => Ok((*active).clone()),
        holders => Err(RehearseError::Holders {
            address,
            holders: holders.iter().map(ToString::to_string).collect(),
        }),
    }
}

/// Waits until another node holds the address, and no third one.
fn wait_for_successor(cast: &Cast<'_>, gone: &NodeName) -> Result<NodeName, RehearseError> {
    let address = cast.target.address();
    let mut successor = None;
    cast.watch.wait_until(&format!("The take-over of {address} from {gone}"), cast.limit(), || {
        let holders = cast.holders(address)?;
        let others: Vec<_> = holders.into_iter().filter(|node| *node != gone).collect();
        if let [other] = others.as_slice() {
            successor = Some((*other).clone());
        }
        Ok(successor.is_some())
    })?;
    Ok(successor.expect("it was waited for"))
}

/// Who answered the newest request that was answered.
fn latest(seen: &Timeline) -> Option<String> {
    seen.probes().iter().rev().find_map(|probe| match &probe.fate {
        Fate::Answered { by, .. } => by.as_deref().map(str::to_owned),
        Fate::Waiting | Fate::Failed(_) => None,
    })
}

/// From the first lost request to the first one after the last, as they were sent.
fn span_of_loss(seen: &Timeline) -> Duration {
    let lost = |fate: &Fate| match fate {
        Fate::Failed(_) => true,
        Fate::Waiting | Fate::Answered { .. } => false,
    };
    let mut sent = seen.probes().iter().filter(|probe| lost(&probe.fate)).map(|probe| probe.sent);
    let Some(first) = sent.next() else { return Duration::ZERO };
    sent.next_back().unwrap_or(first) - first + seen.interval()
}
