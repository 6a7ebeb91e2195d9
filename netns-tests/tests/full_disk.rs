//! A disk without room where a daemon keeps its record and its socket.

use std::process::Command;
use std::time::Instant;

use lab::Signal;
use netns_tests::{LIMIT, Pair, VIRTUAL, WEB, pair};

#[test]
fn a_node_whose_disk_is_full_takes_over_goes_on_after_a_death_and_hands_over() {
    let mut pair = Pair::idle(&pair(&[WEB]));
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    let folder = pair.place("lb2").socket.with_file_name("");
    let folder = folder.to_str().unwrap();
    // A disk of its own, that nobody else sees.
    let mount = format!("mkdir -p {folder} && mount -t tmpfs -o size=64k disk {folder} && exec \"$@\"");
    let lb2 = pair.launch_by("lb2", &["unshare", "--mount", "sh", "-c", &mount, "sh"]);
    lb2.wait_for("became_backup", &[], LIMIT);
    let process = lb2.process().id().as_raw_nonzero().to_string();
    let fill = ["--target", &process, "--mount", "dd", "if=/dev/zero"];
    let filled = Command::new("nsenter").args(fill).arg(format!("of={folder}/filler")).output().unwrap();
    assert!(String::from_utf8_lossy(&filled.stderr).contains("No space left"), "{filled:?}");
    let client = pair.ping(VIRTUAL);

    pair.lab().detach("lb1").unwrap();
    pair.daemon("lb2").wait_for("became_active", &[("reason", "active_down")], LIMIT);
    pair.wait_for_holders(VIRTUAL, &["lb1", "lb2"]);
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    pair.lab().attach("lb1").unwrap();
    pair.wait_for_holder(VIRTUAL, "lb1");

    pair.daemon("lb1").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let begin = Instant::now();
    pair.daemon("lb2").signal_engine(Signal::KILL);
    pair.daemon("lb2").wait_for("role_adopted", &[("virtual_router", "web")], LIMIT);
    pair.launch("lb1").wait_for("became_backup", &[], LIMIT);
    pair.daemon("lb2").stop(LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb1");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(begin);
    assert_eq!(seen.lost(), 0, "{seen}");
}
