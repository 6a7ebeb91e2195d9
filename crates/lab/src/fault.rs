//! Breaking links on purpose, at the switch's end of the cable.

use std::time::Duration;

use crate::topology::{LinkAddress, Wire};
use crate::{Error, Lab, Result, command};

/// The switch port that a machine's interface is plugged into.
#[derive(Clone, Copy, Debug)]
pub struct Port<'lab> {
    pub(crate) lab: &'lab Lab,
    pub(crate) wire: &'lab Wire,
}

/// One of the two ways through a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the machine would receive.
    ToMachine,
    /// What the machine sends.
    FromMachine,
}

/// How many of the frames that pass are lost, each by its own throw of the dice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Every frame.
    All,
    /// That many of a hundred, 0 to 100.
    Percent(u8),
}

impl Port<'_> {
    /// Cuts the cable silently: nothing passes, but the machine keeps its carrier and learns nothing.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn detach(self) -> Result<()> {
        self.switch(&format!("link set {} nomaster\n", self.wire.port()))
    }

    /// Mends what [`Port::detach`] cut.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn attach(self) -> Result<()> {
        self.switch(&format!("link set {} master {}\n", self.wire.port(), self.wire.bridge))
    }

    /// Takes the machine's carrier away, as a switch that is turned off does.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn carrier_off(self) -> Result<()> {
        self.switch(&format!("link set {} down\n", self.wire.port()))
    }

    /// Gives the carrier back.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn carrier_on(self) -> Result<()> {
        self.switch(&format!("link set {} up\n", self.wire.port()))
    }

    /// Has the switch pass nothing through the port, as its spanning tree does with one that makes a loop; the machine
    /// keeps its carrier. (Without a spanning tree a bridge takes no other state than this for longer than a moment.)
    ///
    /// # Errors
    /// When `bridge` refuses.
    pub fn block(self) -> Result<()> {
        self.set_state("disabled")
    }

    /// Ends what [`Port::block`] began.
    ///
    /// # Errors
    /// When `bridge` refuses.
    pub fn unblock(self) -> Result<()> {
        self.set_state("forwarding")
    }

    /// Deletes the machine's interface.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn delete(self) -> Result<()> {
        self.switch(&format!("link delete {}\n", self.wire.port()))
    }

    /// Makes a deleted interface anew, with the addresses and routes it had at first and another index.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn recreate(self) -> Result<()> {
        let machine = self.lab.namespace(&self.wire.machine);
        self.switch(&self.wire.plug_in(machine))?;
        machine.batch(&self.wire.configure())
    }

    /// Loses frames in one direction; [`Port::clear`] ends it.
    ///
    /// # Errors
    /// When `tc` refuses.
    pub fn lose(self, direction: Direction, loss: Loss) -> Result<()> {
        self.filter(direction, "1", &drop_at_random(loss))
    }

    /// Delays every frame in one direction; [`Port::clear`] ends it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the kernel has no `netem` (the test kernels have).
    pub fn delay(self, direction: Direction, delay: Duration) -> Result<()> {
        let micros = format!("{}us", delay.as_micros());
        let (namespace, device) = match direction {
            Direction::ToMachine => (&self.lab.switch, self.wire.port()),
            Direction::FromMachine => (self.lab.namespace(&self.wire.machine), self.wire.interface.clone()),
        };
        let words = ["tc", "qdisc", "replace", "dev", &device, "root", "netem", "delay", &micros];
        match namespace.run(&words) {
            Err(Error::Failed { complaint, .. }) if complaint.contains("qdisc kind is unknown") => {
                Err(Error::Unsupported { what: "netem" })
            }
            outcome => outcome.map(drop),
        }
    }

    /// Ends loss, delay and partitions.
    ///
    /// # Errors
    /// When `tc` cannot be started.
    pub fn clear(self) -> Result<()> {
        let (switch, machine) = (&self.lab.switch, self.lab.namespace(&self.wire.machine));
        let port = self.wire.port();
        for (namespace, device, kind) in [
            (switch, port.as_str(), "clsact"),
            (switch, &port, "root"),
            (machine, &self.wire.interface, "root"),
        ] {
            // What is not there cannot be deleted, and that is as good.
            let _ = namespace.output(&mut command::command(&["tc", "qdisc", "del", "dev", device, kind]))?;
        }
        Ok(())
    }

    fn drop_from(self, sender: &Wire) -> Result<()> {
        let priority = format!("{}", 2 + sender.number);
        self.filter(Direction::ToMachine, &priority, &drop_sender(sender.link_address()))
    }

    fn filter(self, direction: Direction, priority: &str, program: &str) -> Result<()> {
        let port = self.wire.port();
        let hook = match direction {
            Direction::ToMachine => "egress",
            Direction::FromMachine => "ingress",
        };
        self.lab.switch.run(&["tc", "qdisc", "replace", "dev", &port, "clsact"])?;
        let place = ["tc", "filter", "replace", "dev", &port, hook, "protocol", "all", "prio", priority];
        let action = ["handle", "1", "bpf", "direct-action", "bytecode", program];
        self.lab.switch.run(&[place.as_slice(), &action].concat()).map(drop)
    }

    fn set_state(self, state: &str) -> Result<()> {
        self.lab.switch.run(&["bridge", "link", "set", "dev", &self.wire.port(), "state", state]).map(drop)
    }

    fn switch(self, lines: &str) -> Result<()> {
        self.lab.switch.batch(lines)
    }
}

impl Lab {
    /// Crashes a machine as far as the others can tell: all its cables are cut at once and silently.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn detach(&self, machine: &str) -> Result<()> {
        let lines = self.ports(machine).map(|port| format!("link set {} nomaster\n", port.wire.port()));
        self.switch.batch(&lines.collect::<String>())
    }

    /// Mends what [`Lab::detach`] cut.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn attach(&self, machine: &str) -> Result<()> {
        self.ports(machine).try_for_each(Port::attach)
    }

    /// Keeps every machine of one side from hearing any of the other, on all networks they share.
    ///
    /// Everybody else still hears both. Frames are told apart by the sender's own link-layer address.
    ///
    /// # Errors
    /// When `tc` refuses.
    pub fn partition(&self, one: &[&str], other: &[&str]) -> Result<()> {
        for (listeners, speakers) in [(one, other), (other, one)] {
            for speaker in speakers.iter().flat_map(|machine| self.ports(machine)) {
                for listener in listeners.iter().flat_map(|machine| self.ports(machine)) {
                    if listener.wire.bridge == speaker.wire.bridge {
                        listener.drop_from(speaker.wire)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends all partitions, loss and delay.
    ///
    /// # Errors
    /// When `tc` cannot be started.
    pub fn heal(&self) -> Result<()> {
        self.machines().flat_map(|machine| self.ports(machine)).try_for_each(Port::clear)
    }
}

// The filters are classic BPF programs, because that is what every kernel met so far has; `netem` and the
// actions of `tc` are missing on some. A program answers 2 (TC_ACT_SHOT, drop) or -1 (TC_ACT_UNSPEC, go on with
// the next filter). Offsets count from the start of the Ethernet header.
// Source: linux/filter.h, linux/pkt_cls.h.

/// Draws a random word (the ancillary load `SKF_AD_RANDOM`) and drops the frame when it is small enough.
fn drop_at_random(loss: Loss) -> String {
    let threshold = match loss {
        Loss::All | Loss::Percent(100..) => return "1,6 0 0 2".to_owned(),
        Loss::Percent(percent) => u32::MAX / 100 * u32::from(percent),
    };
    format!("4,32 0 0 4294963256,53 1 0 {threshold},6 0 0 2,6 0 0 4294967295")
}

/// Drops frames from one link-layer address.
fn drop_sender(sender: LinkAddress) -> String {
    let (prefix, number) = (LinkAddress::PREFIX, sender.number);
    format!("6,32 0 0 6,21 0 3 {prefix},40 0 0 10,21 0 1 {number},6 0 0 2,6 0 0 4294967295")
}

#[cfg(test)]
mod tests;
