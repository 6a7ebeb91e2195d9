//! What a client loses when a role is given up on purpose.

use std::fmt;
use std::time::{Duration, Instant};

use lab::Lab;

use super::baton;
use super::contender::{Contender, END_LIMIT, Each, Programs};
use super::duty::{FIRST, INSIDE, Node, PAIR, Routers, SECOND, TRIO, Track};
use super::error::BenchError;
use super::group::{Group, laboratory};
use super::table::{Goal, Quantity, Row};

/// How often each hand-over is made.
const RUNS: usize = 3;
/// The default, and slow enough that a wait for the skew time would show: 609 ms.
const INTERVAL: Duration = Duration::from_secs(1);
/// What nobody may notice of a hand-over in a pair.
const OUTAGE_GOAL: Duration = Duration::from_millis(20);

/// How the first node is made to leave.
#[derive(Clone, Copy, Debug)]
enum Occasion {
    /// Its program is asked to end.
    Stop,
    /// `baton pass`.
    Pass,
    /// A tracked interface of its loses the carrier.
    CarrierLoss,
}

impl Occasion {
    /// What has to be well for a node that leaves so.
    fn track(self) -> Track {
        match self {
            Self::Stop | Self::Pass => Track::Nothing,
            Self::CarrierLoss => Track::Inside,
        }
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stop => "stop",
            Self::Pass => "pass",
            Self::CarrierLoss => "carrier loss of a tracked interface",
        })
    }
}

/// What one hand-over cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    lost: u32,
    outage: Duration,
    successor: Successor,
}

/// Who took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Successor {
    /// The second node, whose turn it is.
    Right,
    /// Another one claimed the role, if only for a moment.
    Wrong,
}

/// Hands over in pairs of one program and of both, and in a group of three.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    use Contender::{Baton, Keepalived};
    use Occasion::{CarrierLoss, Pass, Stop};
    let pair = Drill { programs, nodes: PAIR, lab: laboratory(Routers::one(PAIR, INTERVAL))? };
    let mut rows = Vec::new();
    for occasion in [Stop, CarrierLoss] {
        let costs = pair.compare(occasion)?;
        let what = format!("{occasion}, to its like");
        rows.extend(pair_rows(&what, Some(&costs.keepalived), &costs.baton));
    }
    for (occasion, successor) in
        [(Stop, Keepalived), (CarrierLoss, Keepalived), (Pass, Baton), (Pass, Keepalived)]
    {
        let what = format!("{occasion}, to {successor}");
        rows.extend(pair_rows(&what, None, &pair.repeat(&what, &[Baton, successor], occasion)?));
    }
    let trio = Drill { programs, nodes: TRIO, lab: laboratory(Routers::one(TRIO, INTERVAL))? };
    let stops = trio.compare(Stop)?;
    rows.extend(trio_rows(Stop, Some(&stops.keepalived), &stops.baton));
    rows.extend(trio_rows(Pass, None, &trio.repeat("pass, 3 nodes", &[Baton; 3], Pass)?));
    Ok(rows)
}

fn pair_rows(what: &str, keepalived: Option<&Vec<Cost>>, baton: &[Cost]) -> [Row; 2] {
    let lost = |costs: &[Cost]| most(costs, |cost| cost.lost);
    let outage =
        |costs: &[Cost]| Quantity::Time(costs.iter().map(|cost| cost.outage).max().unwrap_or_default());
    let figure = format!("{what}, at {INTERVAL:?}");
    [
        Row {
            figure: format!("{figure}: lost of 1,000 requests a second, the most of {RUNS}"),
            keepalived: keepalived.map(|costs| lost(costs)),
            baton: lost(baton),
            goal: Goal::AtMost(Quantity::Count(0), String::new()),
        },
        Row {
            figure: format!("{figure}: time between two answers, the longest of {RUNS}"),
            keepalived: keepalived.map(|costs| outage(costs)),
            baton: outage(baton),
            goal: Goal::AtMost(Quantity::Time(OUTAGE_GOAL), String::new()),
        },
    ]
}

fn trio_rows(occasion: Occasion, keepalived: Option<&Vec<Cost>>, baton: &[Cost]) -> [Row; 2] {
    let row = |what: &str, quantity: fn(&[Cost]) -> Quantity| Row {
        figure: format!("{occasion}, three nodes, at {INTERVAL:?}: {what} {RUNS}"),
        keepalived: keepalived.map(|costs| quantity(costs)),
        baton: quantity(baton),
        goal: Goal::AtMost(Quantity::Count(0), String::new()),
    };
    [
        row("lost of 1,000 requests a second, the most of", |costs| most(costs, |cost| cost.lost)),
        row("wrong successors of", |costs| {
            let wrong = costs.iter().filter(|cost| cost.successor == Successor::Wrong).count();
            Quantity::Count(u32::try_from(wrong).expect("there are few runs"))
        }),
    ]
}

fn most(costs: &[Cost], count: fn(&Cost) -> u32) -> Quantity {
    Quantity::Count(costs.iter().map(count).max().unwrap_or_default())
}

/// Hand-overs in one laboratory.
struct Drill<'a> {
    programs: &'a Programs,
    nodes: &'static [Node],
    lab: Lab,
}

impl Drill<'_> {
    /// Has the first of a group of each program's own leave.
    fn compare(&self, occasion: Occasion) -> Result<Each<Vec<Cost>>, BenchError> {
        let mut costs = Each::<Vec<Cost>>::default();
        for contender in Contender::BOTH {
            let what = format!("{occasion}, {} nodes, {contender}", self.nodes.len());
            *costs.of(contender) = self.repeat(&what, &vec![contender; self.nodes.len()], occasion)?;
        }
        Ok(costs)
    }

    fn repeat(
        &self,
        what: &str,
        contenders: &[Contender],
        occasion: Occasion,
    ) -> Result<Vec<Cost>, BenchError> {
        let mut costs = Vec::new();
        for round in 1..=RUNS {
            let cost = self.hand_over(contenders, occasion)?;
            println!("{what} {round}: {cost:?}");
            costs.push(cost);
        }
        Ok(costs)
    }

    fn hand_over(&self, contenders: &[Contender], occasion: Occasion) -> Result<Cost, BenchError> {
        let routers = Routers { track: occasion.track(), ..Routers::one(self.nodes, INTERVAL) };
        let mut group = Group::elect(&self.lab, self.programs, contenders, routers)?;
        let prober = group.ask()?;
        let begin = Instant::now();
        match occasion {
            Occasion::Stop => drop(group.daemon(FIRST).terminate(END_LIMIT)?),
            Occasion::CarrierLoss => self.lab.port(FIRST.name, INSIDE).carrier_off()?,
            Occasion::Pass => {
                let configuration = group.configuration(Contender::Baton, FIRST);
                let program = &self.programs.baton;
                let machine = self.lab.namespace(FIRST.name);
                let status = machine
                    .spawn("pass", &mut baton::pass(program, FIRST, &configuration))?
                    .wait(END_LIMIT)?;
                if !status.success() {
                    return Err(BenchError::Unexpected(format!("baton pass ended with {status}")));
                }
            }
        }
        group.wait_for_holder(SECOND)?;
        prober.wait_for_answer(Instant::now(), group.limit())?;
        let seen = prober.stop()?.since(begin);
        let is_wrong = |node: &&Node| ![FIRST.name, SECOND.name].contains(&node.name);
        let wrong = self.nodes.iter().filter(is_wrong);
        let claims: usize = wrong.map(|node| group.advertisements().count_of(node.address, begin)).sum();
        group.end()?;
        self.lab.port(FIRST.name, INSIDE).carrier_on()?;
        Ok(Cost {
            lost: u32::try_from(seen.lost()).expect("there are few requests"),
            outage: seen.longest_gap().duration(),
            successor: if claims == 0 { Successor::Right } else { Successor::Wrong },
        })
    }
}
