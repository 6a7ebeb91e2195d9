//! Recording the frames that pass an interface.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Namespace, Process, Result, command};

/// How long `tcpdump` may take to start or to end.
const LIMIT: Duration = Duration::from_secs(20);

/// A recording that is running; the file is deleted when it is dropped.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Process,
    file: PathBuf,
}

impl Capture {
    /// Starts to record what passes an interface and matches a `tcpdump` expression (`""` for everything).
    ///
    /// It returns when frames are really being recorded.
    ///
    /// # Errors
    /// When `tcpdump` is missing, there is no such interface or the expression is wrong.
    pub fn start(namespace: &Namespace, interface: &str, expression: &str) -> Result<Self> {
        let mut command = Command::new("tcpdump");
        // Run as root to write to the end, and write each frame at once, so that a look in between sees it.
        command.args(["-Z", "root", "-U", "--immediate-mode", "-i", interface]);
        // Room is reserved for each frame at its longest: for 64 KiB of every one, a few dozen at once would not fit.
        command.args(["-s", "2048", "-w"]);
        let file = std::env::temp_dir().join(format!("{}-{interface}.pcap", namespace.name()));
        command.arg(&file).arg(expression);
        let tcpdump = namespace.spawn(&format!("tcpdump-{interface}"), &mut command)?;
        let mut capture = Self { tcpdump, file };
        capture.tcpdump.wait_for_log("listening on", LIMIT)?;
        Ok(capture)
    }

    /// The recording, in `pcap` form.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Stops recording.
    ///
    /// # Errors
    /// When `tcpdump` does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.tcpdump.terminate(LIMIT).map(drop)
    }

    /// Decodes with `tshark`: one row per frame that matches its display filter, one column per field.
    ///
    /// A field that occurs several times in a frame has its values joined by commas; one that does not is empty.
    ///
    /// # Errors
    /// When `tshark` is missing or knows no such field.
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&self.file).args(["-Y", filter, "-T", "fields"]);
        for field in fields {
            tshark.args(["-e", field]);
        }
        let text = command::run(&mut tshark)?;
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // The process is killed by its own drop; a file that is not there needs no deletion.
        let _ = std::fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topology;

    #[test]
    fn what_passes_after_the_start_is_recorded() {
        let lab = Topology::standard(1, 0).build().unwrap();
        let mut capture = Capture::start(lab.namespace("lb1"), "eth0", "icmp").unwrap();
        lab.namespace("client").run(&["ping", "-c2", "-i0.01", "-w20", "10.77.0.11"]).unwrap();
        capture.stop().unwrap();
        let rows = capture.fields("icmp.type == 8", &["ip.src", "ip.dst", "icmp.seq"]).unwrap();
        assert_eq!(rows, [["10.77.0.100", "10.77.0.11", "1"], ["10.77.0.100", "10.77.0.11", "2"]]);
    }

    #[test]
    fn a_wrong_expression_is_reported() {
        let namespace = Namespace::new("expression").unwrap();
        let error = Capture::start(&namespace, "lo", "no such thing").unwrap_err().to_string();
        assert!(error.contains("syntax error"), "{error}");
    }
}
