//! What a pair costs while nothing happens.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Lab, Namespace, Topology, wait_until};

use super::contender::END_LIMIT;
use super::contender::{Contender, Each, Folder, Programs};
use super::duty::{Duty, FIRST, Node, PAIR, Routers, SECOND};
use super::error::BenchError;
use super::table::{Goal, Quantity, Row, median};

/// How long processor time is summed up.
const WINDOW: Duration = Duration::from_secs(10);
/// How many windows there are.
const WINDOWS: usize = 3;
/// Both announce their addresses again five seconds after the election.
const ANNOUNCED: Duration = Duration::from_secs(8);
/// How long the election of all virtual routers may take.
const ELECTION_LIMIT: Duration = Duration::from_mins(1);

const ROUTERS: Routers = Routers { count: 255, ..Routers::one(PAIR, Duration::from_millis(100)) };
/// What all processes of a node may hold.
const MEMORY_GOAL: u64 = 15 << 20;

/// What one program needs.
#[derive(Debug, Default)]
struct Needs {
    /// Processor time in each window, of the node that is Active.
    active: Vec<Duration>,
    /// Of the one that is Backup.
    backup: Vec<Duration>,
    /// Memory of the Active, alone on the machine.
    memory: u64,
}

/// Runs a pair of each program and watches it.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let mut needs = Each::<Needs>::default();
    for contender in Contender::BOTH {
        *needs.of(contender) = watch(programs, contender)?;
    }
    let Each { keepalived, baton } = needs;
    let what = format!("idle, {} virtual routers at {:?}", ROUTERS.count, ROUTERS.interval);
    let time = |times: &[Duration]| Quantity::ProcessorTime(median(times));
    let row = |part: String, keepalived, baton, goal| Row {
        figure: format!("{what}: {part}"),
        keepalived: Some(keepalived),
        baton,
        goal,
    };
    let windows = |role| format!("processor time of the {role} in {WINDOW:?} (n={WINDOWS})");
    Ok(vec![
        row(windows("Active"), time(&keepalived.active), time(&baton.active), Goal::Ratio(0.3)),
        row(windows("Backup"), time(&keepalived.backup), time(&baton.backup), Goal::Ratio(0.5)),
        row(
            "memory of the Active (PSS of all its processes)".to_owned(),
            Quantity::Memory(keepalived.memory),
            Quantity::Memory(baton.memory),
            Goal::AtMost(Quantity::Memory(MEMORY_GOAL), String::new()),
        ),
    ])
}

fn watch(programs: &Programs, contender: Contender) -> Result<Needs, BenchError> {
    let lab = Topology::cabled_pair().build()?;
    let (folder, duty) = (Folder::new()?, Duty::Routers(ROUTERS));
    let start = |node: Node| {
        let configuration = Programs::configure(contender, duty, node, folder.path())?;
        programs.start(contender, duty, node, lab.namespace(node.name), &configuration)
    };
    let (mut first, mut second) = (start(FIRST)?, start(SECOND)?);
    wait_until("The election of all virtual routers", ELECTION_LIMIT, || {
        holds_all(&lab, ROUTERS, FIRST, SECOND)
    })?;
    thread::sleep(ANNOUNCED);

    let (active, backup) = (lab.namespace(FIRST.name), lab.namespace(SECOND.name));
    let mut needs = Needs::default();
    for window in 1..=WINDOWS {
        let before = (active.processor_time()?, backup.processor_time()?);
        let begin = Instant::now();
        thread::sleep(WINDOW);
        let after = (active.processor_time()?, backup.processor_time()?);
        // A sleep may last longer, on a busy machine much.
        let stretch = WINDOW.div_duration_f64(begin.elapsed());
        let (one, other) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
        println!("idle, {contender} {window}: Active {one:?}, Backup {other:?}");
        needs.active.push(one.mul_f64(stretch));
        needs.backup.push(other.mul_f64(stretch));
    }
    if !holds_all(&lab, ROUTERS, FIRST, SECOND)? {
        let message = format!("A pair of {contender} did not stay as it was elected");
        return Err(BenchError::Unexpected(message));
    }
    // Pages that both have in common would count half for each.
    second.terminate(END_LIMIT)?;
    needs.memory = memory(active)?;
    first.terminate(END_LIMIT)?;
    Ok(needs)
}

/// Whether one node holds the addresses of all virtual routers, and the other none.
pub(crate) fn holds_all(lab: &Lab, routers: Routers, holder: Node, other: Node) -> lab::Result<bool> {
    let held = |node: Node| {
        let addresses = lab.namespace(node.name).addresses("eth0")?;
        let is_virtual = |address: &lab::Cidr| routers.addresses().any(|(_, one)| address.address() == one);
        Ok::<_, lab::Error>(addresses.iter().filter(|address| is_virtual(address)).count())
    };
    Ok(held(holder)? == usize::from(routers.count) && held(other)? == 0)
}

/// The proportional set size of all processes of a machine, in bytes.
fn memory(machine: &Namespace) -> Result<u64, BenchError> {
    let mut kibibytes = 0;
    for process in machine.processes()? {
        let path = format!("/proc/{process}/smaps_rollup");
        let path = Path::new(&path);
        let text = fs::read_to_string(path).map_err(BenchError::read(path))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let size = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes += size.ok_or_else(|| unreadable(path, &text))?;
    }
    Ok(kibibytes << 10)
}

fn unreadable(path: &Path, text: &str) -> BenchError {
    BenchError::Unexpected(format!("{} cannot be read: {text}", path.display()))
}
