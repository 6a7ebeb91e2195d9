//! What becomes of a pair at an interval of 10 ms when others keep the processors busy.

use std::fs::OpenOptions;
use std::hint::spin_loop;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lab::{Process, Topology, wait_until};

use super::contender::{Contender, END_LIMIT, Folder, Programs};
use super::duty::{Duty, FIRST, PAIR, Routers, SECOND};
use super::error::BenchError;
use super::idle::holds_all;
use super::table::{Goal, Quantity, Row};

/// How long the processors are kept busy.
const TIME: Duration = Duration::from_secs(20);
/// How many threads of others each processor has to share itself among.
const BUSY_PER_PROCESSOR: usize = 8;
/// How long the election may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

const ROUTERS: Routers = Routers::one(PAIR, Duration::from_millis(10));

/// Whether Baton's engine asks for precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precedence {
    /// As it does unless it is told otherwise.
    Usual,
    /// It is one among all.
    None,
}

/// Keeps the processors busy beside a pair of each program.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>, BenchError> {
    let keepalived = transitions(programs, Contender::Keepalived, Precedence::Usual)?;
    let baton = transitions(programs, Contender::Baton, Precedence::Usual)?;
    let without = transitions(programs, Contender::Baton, Precedence::None)?;
    let what = format!(
        "processors kept busy by others for {TIME:?}, one virtual router at {:?}: transitions to Active",
        ROUTERS.interval
    );
    let row = |what: String, baton, limit, origin: &str| Row {
        figure: what,
        keepalived: Some(Quantity::Count(keepalived)),
        baton: Quantity::Count(baton),
        goal: Goal::AtMost(Quantity::Count(limit), origin.to_owned()),
    };
    Ok(vec![
        row(what.clone(), baton, 0, ""),
        row(format!("{what}, realtime_priority = 0"), without, keepalived, "as Keepalived"),
    ])
}

/// How often a node of a pair became Active while the processors were busy.
fn transitions(programs: &Programs, contender: Contender, precedence: Precedence) -> Result<u32, BenchError> {
    let lab = Topology::standard(2, 0).build()?;
    let (folder, duty) = (Folder::new()?, Duty::Routers(ROUTERS));
    let mut daemons = Vec::new();
    for &node in PAIR {
        let configuration = Programs::configure(contender, duty, node, folder.path())?;
        if precedence == Precedence::None {
            let mut file = OpenOptions::new()
                .append(true)
                .open(&configuration)
                .map_err(BenchError::write(&configuration))?;
            file.write_all(b"[engine]\nrealtime_priority = 0\n")
                .map_err(BenchError::write(&configuration))?;
        }
        daemons.push(programs.start(contender, duty, node, lab.namespace(node.name), &configuration)?);
    }
    wait_until("The election", LIMIT, || holds_all(&lab, ROUTERS, FIRST, SECOND))?;
    thread::sleep(Duration::from_secs(1));
    let count = |daemons: &[Process]| -> usize {
        let claims = |daemon: &Process| daemon.log().matches(claim(contender)).count();
        daemons.iter().map(claims).sum()
    };
    let before = count(&daemons);
    keep_busy();
    let seen = count(&daemons) - before;
    println!("busy, {contender}, precedence {precedence:?}: {seen} transitions");
    for mut daemon in daemons {
        daemon.terminate(END_LIMIT)?;
    }
    Ok(u32::try_from(seen).unwrap_or(u32::MAX))
}

/// What a program logs when it becomes Active.
fn claim(contender: Contender) -> &'static str {
    match contender {
        Contender::Keepalived => "Entering MASTER STATE",
        Contender::Baton => "became_active",
    }
}

fn keep_busy() {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let is_over = Arc::new(AtomicBool::new(false));
    let spin = |_| {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                spin_loop();
            }
        })
    };
    let threads: Vec<_> = (0..processors * BUSY_PER_PROCESSOR).map(spin).collect();
    thread::sleep(TIME);
    is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a thread that only turns does not panic");
    }
}
