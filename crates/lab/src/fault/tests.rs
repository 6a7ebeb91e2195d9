use super::*;
use crate::{Topology, wait_until};

const LIMIT: Duration = Duration::from_secs(10);

/// Whether one of many questions is answered.
fn reaches(lab: &Lab, from: &str, to: &str) -> bool {
    lab.namespace(from).run(&["ping", "-c1", "-w20", to]).is_ok()
}

/// Whether a question stays unanswered for a second.
fn is_cut_off(lab: &Lab, from: &str, to: &str) -> bool {
    lab.namespace(from).run(&["ping", "-c1", "-W1", to]).is_err()
}

fn has_carrier(lab: &Lab, machine: &str, interface: &str) -> Result<bool> {
    let link = lab.namespace(machine).run(&["ip", "link", "show", "dev", interface])?;
    Ok(link.contains("LOWER_UP"))
}

/// How many of 200 questions are answered.
fn answered(lab: &Lab, from: &str, to: &str) -> usize {
    let mut ping = command::command(&["ping", "-q", "-c200", "-i0.002", "-W1", to]);
    let output = lab.namespace(from).output(&mut ping).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let received = text.split(", ").find(|part| part.ends_with("received")).unwrap();
    received.split(' ').next().unwrap().parse().unwrap()
}

/// How many echo requests have reached a machine.
fn questions(lab: &Lab, machine: &str) -> u32 {
    let counters =
        lab.namespace(machine).run(&["nstat", "--ignore", "--noupdate", "--zeros", "IcmpInEchos"]).unwrap();
    counters.split_whitespace().skip_while(|word| *word != "IcmpInEchos").nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_detached_machine_is_unreachable_and_does_not_know() {
    let lab = Topology::standard(2, 0).build().unwrap();
    assert!(reaches(&lab, "client", "10.77.0.11"));
    lab.detach("lb1").unwrap();
    assert!(is_cut_off(&lab, "client", "10.77.0.11"));
    assert!(is_cut_off(&lab, "lb2", "10.78.0.11"));
    assert!(has_carrier(&lab, "lb1", "eth0").unwrap() && has_carrier(&lab, "lb1", "eth1").unwrap());
    assert!(reaches(&lab, "client", "10.77.0.12"), "the other machine is untouched");
    lab.attach("lb1").unwrap();
    assert!(reaches(&lab, "client", "10.77.0.11") && reaches(&lab, "lb2", "10.78.0.11"));
}

#[test]
fn a_machine_notices_when_its_carrier_goes_and_returns() {
    let lab = Topology::standard(1, 0).build().unwrap();
    let port = lab.port("lb1", "eth0");
    port.carrier_off().unwrap();
    wait_until("Carrier off", LIMIT, || Ok(!has_carrier(&lab, "lb1", "eth0")?)).unwrap();
    assert!(has_carrier(&lab, "lb1", "eth1").unwrap());
    port.carrier_on().unwrap();
    wait_until("Carrier on", LIMIT, || has_carrier(&lab, "lb1", "eth0")).unwrap();
    assert!(reaches(&lab, "client", "10.77.0.11"));
}

#[test]
fn a_recreated_interface_has_its_addresses_again_and_another_index() {
    let lab = Topology::standard(1, 1).build().unwrap();
    let index = || lab.namespace("rs1").run(&["cat", "/proc/net/dev_snmp6/eth0"]).unwrap();
    let index = || index().lines().next().unwrap().to_owned();
    let (port, before) = (lab.port("rs1", "eth0"), index());
    let link_address = lab.namespace("rs1").link_address("eth0").unwrap();
    port.delete().unwrap();
    assert!(lab.namespace("rs1").addresses("eth0").is_err());
    port.recreate().unwrap();
    assert_ne!(index(), before);
    assert_eq!(lab.namespace("rs1").link_address("eth0").unwrap(), link_address);
    assert!(reaches(&lab, "lb1", "10.78.0.21") && reaches(&lab, "lb1", "fd78::21"));
    assert!(lab.namespace("rs1").run(&["ip", "route"]).unwrap().contains("default via 10.78.0.1"));
}

#[test]
fn a_partition_separates_two_sides_and_nobody_else() {
    let lab = Topology::standard(3, 0).build().unwrap();
    lab.partition(&["lb1"], &["lb2", "lb3"]).unwrap();
    assert!(is_cut_off(&lab, "lb1", "10.77.0.12") && is_cut_off(&lab, "lb3", "10.77.0.11"));
    assert!(is_cut_off(&lab, "lb1", "10.78.0.12") && is_cut_off(&lab, "lb2", "fd77::11"));
    assert!(reaches(&lab, "lb2", "10.77.0.13") && reaches(&lab, "lb3", "10.78.0.12"));
    for node in ["10.77.0.11", "10.77.0.12", "10.77.0.13"] {
        assert!(reaches(&lab, "client", node), "{node}");
    }
    lab.heal().unwrap();
    assert!(reaches(&lab, "lb1", "10.77.0.12") && reaches(&lab, "lb3", "10.77.0.11"));
}

#[test]
fn loss_strikes_one_direction_in_the_given_measure() {
    let lab = Topology::standard(1, 0).build().unwrap();
    assert_eq!(answered(&lab, "client", "10.77.0.11"), 200);
    let port = lab.port("lb1", "eth0");
    // 200 throws at 30 %: 140 are expected, and outside 100 to 180 lies less than one run in a billion.
    port.lose(Direction::ToMachine, Loss::Percent(30)).unwrap();
    let received = answered(&lab, "client", "10.77.0.11");
    assert!((100..=180).contains(&received), "{received}");
    port.clear().unwrap();
    assert_eq!(answered(&lab, "client", "10.77.0.11"), 200);

    // What the machine sends is lost, what it should receive is not.
    let before = questions(&lab, "lb1");
    port.lose(Direction::FromMachine, Loss::All).unwrap();
    assert!(is_cut_off(&lab, "client", "10.77.0.11"));
    assert!(questions(&lab, "lb1") > before);
    port.clear().unwrap();
    assert!(reaches(&lab, "client", "10.77.0.11"));
}

#[test]
fn delay_works_or_says_that_the_kernel_cannot() {
    let lab = Topology::standard(1, 0).build().unwrap();
    let port = lab.port("lb1", "eth0");
    match port.delay(Direction::ToMachine, Duration::from_millis(60)) {
        Ok(()) => {
            let text = lab.namespace("client").run(&["ping", "-c1", "-W5", "10.77.0.11"]).unwrap();
            let time = text.split("time=").nth(1).unwrap().split(' ').next().unwrap();
            assert!(time.parse::<f64>().unwrap() >= 60.0, "{text}");
            port.clear().unwrap();
        }
        Err(error) => assert!(matches!(error, Error::Unsupported { what: "netem" }), "{error}"),
    }
}
