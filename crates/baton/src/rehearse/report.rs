//! What the operator reads: who took part, and a row for each drill.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::time::Duration;

use lab::Cidr;

use super::drill::{Drill, Outcome};
use super::layout::Layout;
use super::nodes::Nodes;
use super::target::{Question, Target};

/// Who takes part in a rehearsal.
#[derive(Clone, Copy, Debug)]
pub struct Playbill<'rehearsal> {
    pub kernel: &'rehearsal str,
    pub nodes: &'rehearsal Nodes,
    pub layout: &'rehearsal Layout,
    pub target: &'rehearsal Target,
    /// From one probe of the client to the next.
    pub pace: Duration,
}

impl fmt::Display for Playbill<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |title: &str, text: &str| writeln!(formatter, "{title:<16}{text}");
        line("kernel", self.kernel)?;
        for node in self.nodes.names() {
            let interfaces = self.layout.addresses_of(node).map(|(interface, addresses)| {
                let addresses: Vec<_> =
                    addresses.iter().map(|cidr| Cidr::address(*cidr).to_string()).collect();
                format!("{interface} {}", addresses.join(" "))
            });
            let interfaces: Vec<_> = interfaces.collect();
            let priority = self.nodes.router(node, &self.target.router).priority;
            line("node", &format!("{node}, priority {priority}: {}", interfaces.join(", ")))?;
        }
        for (name, views) in self.nodes.routers() {
            let (_, router) = views[0];
            let held: Vec<_> = router.all_addresses().map(|held| held.address.to_string()).collect();
            let (vrid, version) = (router.vrid, router.version.number());
            let text = format!(
                "{name}, VRRPv{version} identifier {vrid}, every {}: {}",
                router.interval,
                held.join(" ")
            );
            line("virtual router", &text)?;
        }
        if let Question::Web { config, .. } = &self.target.question {
            let real_servers: Vec<_> = config.real_servers.keys().map(ToString::to_string).collect();
            let sorry = config.sorry_server.map(|(address, _)| format!("; sorry server {address}"));
            line("real servers", &(real_servers.join(" ") + &sorry.unwrap_or_default()))?;
        }
        let client = self.layout.client.address();
        line("client", &format!("{client} {} every {:?}", self.target, self.pace))?;
        self.layout.remarks.iter().try_for_each(|remark| line("note", remark))
    }
}

/// The widths of a table whose rows are written one by one.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    drill: usize,
    successor: usize,
}

const HEAD: [&str; 5] = ["drill", "who took over", "outage ms", "lost / sent", "floor ms"];
/// The widths of the columns of numbers: five digits of requests on each side, a day of milliseconds.
const NUMBERS: [usize; 3] = [9, 13, 8];

impl Columns {
    /// Makes room for everybody who may take over.
    pub fn new(nodes: &Nodes, target: &Target) -> Self {
        let mut names: BTreeSet<String> =
            nodes.names().flat_map(|node| [node.to_string(), format!("{node} stays")]).collect();
        if let Question::Web { config, .. } = &target.question {
            names.extend(config.real_servers.keys().map(ToString::to_string));
            names.extend(config.sorry_server.map(|(address, _)| address.to_string()));
        }
        names.insert(HEAD[1].to_owned());
        let successor = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        Self { drill: Drill::RealServerDeath.to_string().len(), successor }
    }

    /// Returns the head of the table.
    pub fn head(self) -> String {
        self.line(HEAD.map(str::to_owned)).to_uppercase()
    }

    /// Returns the row of a drill.
    pub fn row(self, outcome: &Outcome) -> String {
        let Outcome { drill, successor, outage, lost, sent, floor, passed: _ } = outcome;
        let (outage, floor) = (millis(*outage), millis(*floor));
        self.line([drill.to_string(), successor.clone(), outage, format!("{lost} / {sent}"), floor])
    }

    fn line(self, [drill, successor, outage, lost, floor]: [String; 5]) -> String {
        let [outage_width, lost_width, floor_width] = NUMBERS;
        let (drill_width, successor_width) = (self.drill, self.successor);
        let mut line = format!("{drill:drill_width$}  {successor:successor_width$}");
        write!(line, "  {outage:>outage_width$}  {lost:>lost_width$}  {floor:>floor_width$}")
            .expect("a string takes what is written to it");
        line
    }
}

/// Returns how the figures came about.
pub fn legend(outcomes: &[Outcome], question: &Question, pace: Duration) -> String {
    let find = |drill| outcomes.iter().find(|outcome| outcome.drill == drill);
    let mut lines = vec![
        "outage: the longest time between two answers that reached the client.".to_owned(),
        format!("        It asks every {pace:?}, so nothing is measured more finely."),
        format!("lost:   no answer came within {:?}.", lab::PATIENCE),
    ];
    match question {
        Question::Echo { .. } => {}
        // Connections are not handed over.
        Question::Web { .. } => lines.extend([
            "        A connection that is open while the addresses move is lost with them:".to_owned(),
            "        the successor's IPVS does not know it.".to_owned(),
        ]),
    }
    lines.extend([
        "floor:  how long a Backup has to wait by RFC 9568, section 6.1.".to_owned(),
        "        Stop, pass, failback: nothing. Crash: 3 x interval + skew time".to_owned(),
    ]);
    if let Some(crash) = find(Drill::Crash) {
        let passed = millis(crash.passed);
        lines.push(format!(
            "        from the last advertisement, heard {passed} ms before the client's last answer."
        ));
    }
    if find(Drill::RealServerDeath).is_some() {
        lines.extend([
            "real server death: outage is from the first lost request to the last, while others answer;"
                .to_owned(),
            "        floor is what the check takes at most, fall x interval + timeout.".to_owned(),
        ]);
    }
    lines.join("\n")
}

/// Whole milliseconds, rounded.
fn millis(time: Duration) -> String {
    ((time.as_micros() + 500) / 1000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::ConfigFile;

    fn read(name: &str) -> (Nodes, Target) {
        let path = format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"));
        let file = ConfigFile::read(path.as_ref()).unwrap();
        let nodes = Nodes::new(file.nodes().map(|node| file.resolve(node).unwrap()));
        let target = Target::choose(nodes.any()).unwrap();
        (nodes, target)
    }

    #[test]
    fn everybody_who_takes_part_is_introduced() {
        let (nodes, target) = read("pair.toml");
        let layout = Layout::derive(&nodes, &target).unwrap();
        let pace = Duration::from_millis(10);
        let bill = Playbill { kernel: "6.1.0", nodes: &nodes, layout: &layout, target: &target, pace };
        let expected = "\
kernel          6.1.0
node            lb1, priority 150: eth0 10.77.0.11 fd77::11, eth1 10.78.0.254 fd78::fe
node            lb2, priority 100: eth0 10.77.0.12 fd77::12, eth1 10.78.0.253 fd78::fd
virtual router  web, VRRPv3 identifier 51, every 1s: 10.77.0.50 10.78.0.1
virtual router  web6, VRRPv3 identifier 51, every 1s: fe80::200:5eff:fe00:233 fd77::50 fd78::1
real servers    10.78.0.21:80 10.78.0.22:80; sorry server 10.78.0.99:80
client          10.77.0.254 fetches http://10.77.0.50:80/ on a new connection every 10ms
";
        assert_eq!(bill.to_string(), expected);
    }

    fn outcome(drill: Drill) -> Outcome {
        Outcome {
            drill,
            successor: "lb2".to_owned(),
            outage: Duration::from_micros(3_602_600),
            lost: 361,
            sent: 462,
            floor: Duration::from_micros(3_609_375),
            passed: Duration::from_millis(7),
        }
    }

    #[test]
    fn rows_stand_below_their_heads() {
        let (nodes, target) = read("pair.toml");
        let columns = Columns::new(&nodes, &target);
        let successor = "10.78.0.22:80".to_owned();
        let death = Outcome { successor, ..outcome(Drill::RealServerDeath) };
        let table = [columns.head(), columns.row(&outcome(Drill::Crash)), columns.row(&death)].join("\n");
        let expected = "\
DRILL              WHO TOOK OVER  OUTAGE MS    LOST / SENT  FLOOR MS
crash              lb2                 3603      361 / 462      3609
real server death  10.78.0.22:80       3603      361 / 462      3609";
        assert_eq!(table, expected);
    }

    #[test]
    fn the_legend_explains_only_what_was_done() {
        let pace = Duration::from_millis(2);
        let (_, target) = read("routers-only.toml");
        let brief = legend(&[outcome(Drill::Crash), outcome(Drill::Stop)], &target.question, pace);
        assert!(brief.contains("heard 7 ms") && !brief.contains("server"), "{brief}");
        let (_, target) = read("pair.toml");
        let long = legend(&[outcome(Drill::RealServerDeath)], &target.question, pace);
        assert!(long.contains("fall x interval") && long.contains("IPVS does not know it"), "{long}");
    }
}
