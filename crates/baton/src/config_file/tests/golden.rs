//! Each file of `errors/` is a configuration with errors; beside it stands what an operator is told.

use std::env;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Rewrites the expected texts: `UPDATE_GOLDEN=1 cargo test -p baton config_file`, then read the difference.
const UPDATE: &str = "UPDATE_GOLDEN";

#[test]
fn every_error_says_what_where_why_and_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config_file/errors");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(paths.len() >= 10, "{paths:?}");
    set_key_permissions();
    let mut differing = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let read =
            ConfigFile::parse(name, &text).and_then(|file| file.with_fit_programs(&text, Machine::Other));
        let Err(errors) = read else { panic!("{name} has no error") };
        let told = format!("{errors}\n");
        let golden = path.with_extension("txt");
        if env::var_os(UPDATE).is_some() {
            fs::write(&golden, told).unwrap();
        } else if fs::read_to_string(&golden).ok().as_ref() != Some(&told) {
            differing.push(format!("--- {name}\n{told}"));
        }
    }
    assert!(
        differing.is_empty(),
        "Run again with {UPDATE}=1 and read the difference:\n{}",
        differing.join("\n")
    );
}

/// A clone of the repository has the permissions that its user's mask leaves.
pub(super) fn set_key_permissions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config_file/errors/keys");
    for (name, mode) in [("good.key", 0o600), ("short.key", 0o600), ("open.key", 0o644)] {
        fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let errors = ConfigFile::parse("test.toml", "nod = 1").unwrap_err();
    let coloured = errors.render(Colour::Always);
    assert!(coloured.contains("\x1b["), "{coloured}");
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        plain += before;
        rest = escape.split_once('m').expect("only colours").1;
    }
    assert_eq!(plain + rest, errors.render(Colour::Never));
}

#[test]
fn a_flood_of_errors_is_cut_short() {
    let keys: Vec<_> = (0..500).map(|number| format!("key{number} = 1")).collect();
    let text = keys.join("\n");
    let errors = ConfigFile::parse("test.toml", &text).unwrap_err();
    let told = errors.to_string();
    assert!(told.ends_with("501 errors in test.toml, the last 401 not shown"), "{told}");
}

#[test]
fn a_log_has_the_first_errors_in_one_line() {
    let line = |text: &str| ConfigFile::parse("test.toml", text).unwrap_err().in_one_line();
    assert_eq!(
        line("[node.lb1]\n[track.up]\ninterface = \"eth 1\"\n"),
        "1 error in test.toml: line 3: \"eth 1\" cannot name an interface (the kernel allows no ' ' in it)"
    );
    let flood = line("[node.lb1]\n\"a\\nb\" = 1\nc = 1\nd = 1\ne = 1\nf = 1\ng = 1\nh = 1\n");
    assert!(
        flood.starts_with("7 errors in test.toml, the last 2 not shown: line 2: Unknown key `a b`"),
        "{flood}"
    );
    assert!(flood.contains("; line 6: "), "{flood}");
    assert!(!flood.contains('\n'), "{flood}");
}

#[test]
fn a_program_that_is_nowhere_is_wrong_on_a_node_alone() {
    let web = router("virtual_addresses = [\"10.77.0.50/24\"]\ntrack = [\"check\"]");
    let text = format!("{web}\n[track.check]\nscript = [\"/nowhere/check\"]\n");
    let read = |machine| ConfigFile::parse("test.toml", &text).unwrap().with_fit_programs(&text, machine);
    assert!(read(Machine::Other).is_ok());
    let told = read(Machine::Node).unwrap_err().to_string();
    assert!(told.contains("cannot look at /nowhere/check"), "{told}");
}
