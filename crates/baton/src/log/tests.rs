//! The README's table of events, next to what this program writes.

use std::collections::{BTreeMap, BTreeSet};

use documents::{only_names, read, rows, sources};

mod text;

/// What `tracing` calls the levels.
const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// What an event's records are like.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    level: String,
    fields: BTreeSet<String>,
}

/// The events of the README.
fn promised() -> BTreeMap<String, Shape> {
    let rows = rows(&read("README.md"), ["event", "level", "fields", "when"]);
    let events = rows.iter().flat_map(|[names, levels, fields, _]| {
        let names = only_names(names).unwrap_or_else(|| panic!("{names} is more than names"));
        let mut levels: Vec<_> = levels.split(", ").collect();
        // One for all, or one for each.
        levels.resize(names.len(), levels[0]);
        let fields: BTreeSet<_> = fields_in(fields).collect();
        let shapes =
            levels.into_iter().map(move |level| Shape { level: level.to_owned(), fields: fields.clone() });
        names.into_iter().map(str::to_owned).zip(shapes)
    });
    let mut promised = BTreeMap::new();
    for (name, shape) in events {
        assert!(promised.insert(name.clone(), shape).is_none(), "{name} is there twice");
    }
    promised
}

/// The names in a list such as ``virtual_router, reason: `stop` `pass`, peer (who is heard, if anybody)``.
fn fields_in(cell: &str) -> impl Iterator<Item = String> {
    let remarks_left_out =
        cell.split('(').map(|part| part.split_once(')').map_or(part, |(_, behind)| behind));
    let list = remarks_left_out.collect::<String>();
    let items: Vec<_> =
        list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
    items.into_iter().map(|item| item.split([':', ' ']).next().unwrap_or_default().to_owned())
}

/// The events of the program, by the lines that write them.
fn written() -> BTreeMap<String, Shape> {
    let mut written = BTreeMap::new();
    for source in sources("crates/baton/src") {
        let calls = source.match_indices("!(").filter_map(|(at, opening)| {
            let level = LEVELS.into_iter().find(|level| source[..at].ends_with(level))?;
            Some((level, arguments(&source[at + opening.len()..])))
        });
        for (level, arguments) in calls {
            let mut fields: BTreeMap<_, _> =
                arguments.into_iter().filter_map(|argument| argument.split_once(" = ")).collect();
            let name =
                fields.remove("event").unwrap_or_else(|| panic!("a record without an event: {fields:?}"));
            let fields = fields.into_keys().map(str::to_owned).collect();
            let shape = Shape { level: level.to_owned(), fields };
            let name = name.trim_matches('"').to_owned();
            let before = written.insert(name.clone(), shape);
            assert!(before.is_none_or(|before| before == written[&name]), "{name} has two shapes");
        }
    }
    written
}

/// The arguments of a call but for its message, from behind the opening parenthesis on.
fn arguments(source: &str) -> Vec<&str> {
    let (mut arguments, mut begin, mut depth, mut quoted) = (Vec::new(), 0, 0_u32, false);
    let mut characters = source.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '"' => quoted = !quoted,
            _ if quoted => {}
            ')' if depth == 0 => {
                arguments.push(source[begin..at].trim());
                break;
            }
            ',' if depth == 0 => {
                arguments.push(source[begin..at].trim());
                begin = at + 1;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    arguments.retain(|argument| !argument.is_empty() && !argument.starts_with('"'));
    arguments
}

#[test]
fn the_readme_lists_every_event_with_its_level_and_its_fields_and_no_other() {
    let (promised, written) = (promised(), written());
    let missing: Vec<_> = written.keys().filter(|name| !promised.contains_key(*name)).collect();
    assert!(missing.is_empty(), "the README lacks {missing:?}");
    let invented: Vec<_> = promised.keys().filter(|name| !written.contains_key(*name)).collect();
    assert!(invented.is_empty(), "nothing writes {invented:?}");
    let different = promised.iter().filter(|(name, shape)| written[*name] != **shape);
    let different: Vec<_> =
        different.map(|(name, shape)| format!("{name}: {shape:?}, not {:?}", written[name])).collect();
    assert!(different.is_empty(), "the README is wrong about\n{}", different.join("\n"));
}
