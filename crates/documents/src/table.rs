//! Tables, as Markdown writes them: a line for each row, bars between its cells.

/// Returns the rows of the table that has this head.
///
/// # Panics
/// When there is no such table, or one of its rows has another number of cells.
#[track_caller]
pub fn rows<const COLUMNS: usize>(document: &str, head: [&str; COLUMNS]) -> Vec<[String; COLUMNS]> {
    let mut lines = document.lines().skip_while(|line| cells(line) != head);
    assert!(lines.next().is_some(), "there is no table of {head:?}");
    let rows = lines.take_while(|line| line.starts_with('|')).skip(1);
    rows.map(|row| {
        let cells = cells(row).into_iter().map(str::to_owned).collect::<Vec<_>>();
        cells.try_into().unwrap_or_else(|cells| panic!("not {COLUMNS} cells: {cells:?}"))
    })
    .collect()
}

/// Returns what stands in backticks.
pub fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn cells(line: &str) -> Vec<&str> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    inner.map(|inner| inner.split('|').map(str::trim).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str =
        "| a | b |\n|---|---|\n| no | no |\n\n| a | c |\n|---|---|\n| 1 | `x`, `y_z` |\n| 2 | |\nend";

    #[test]
    fn a_table_is_found_by_its_head_and_ends_with_its_last_row() {
        let expected = [["1", "`x`, `y_z`"], ["2", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(rows(DOCUMENT, ["a", "c"]), expected);
    }

    #[test]
    #[should_panic(expected = "there is no table of [\"a\", \"d\"]")]
    fn a_table_that_is_not_there_is_named() {
        rows(DOCUMENT, ["a", "d"]);
    }

    #[test]
    fn what_stands_in_backticks_is_told_from_what_stands_beside() {
        assert_eq!(code("`x` and `y_z`, not w").collect::<Vec<_>>(), ["x", "y_z"]);
    }
}
