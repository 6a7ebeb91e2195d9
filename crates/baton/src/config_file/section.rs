//! One table of the file, whose keys are all known.

use std::borrow::Cow;

use node::name::NameError;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::field::Field;
use super::problem::{At, Problem, Problems, Span};
use super::suggestion::closest;

/// A table and the keys that it may have.
pub(super) struct Section<'a> {
    title: Cow<'a, str>,
    span: Span,
    table: &'a DeTable<'a>,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    /// Opens the table called `title`, named at `span`, and reports each key that it should not have.
    pub(super) fn open(
        title: impl Into<Cow<'a, str>>,
        span: Span,
        field: Field<'a>,
        keys: &[&str],
    ) -> Option<Self> {
        let DeValue::Table(table) = field.value() else {
            field.expected("a table", &format!("[{}]", field.key()));
            return None;
        };
        let title = title.into();
        let problems = field.problems();
        for key in table.keys() {
            if !keys.contains(&key.get_ref().as_ref()) {
                problems.report(unknown_key(key, &title, keys));
            }
        }
        Some(Self { title, span, table, problems })
    }

    /// Returns what the table is called in a sentence, like "virtual router web".
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// Returns a value of this table that stands there or, for a default, where the table is named.
    pub(super) fn or<T>(&self, found: Option<At<T>>, default: T) -> At<T> {
        found.unwrap_or(At { value: default, span: self.span })
    }

    /// Returns the name that the table has in the file as a name of its kind.
    pub(super) fn name<T>(
        &self,
        name: At<&str>,
        new: impl FnOnce(&str) -> Result<T, NameError>,
    ) -> Option<At<T>> {
        let title = || format!("{:?} cannot be a name", name.value);
        new(name.value)
            .map(|value| At { value, span: name.span })
            .map_err(|error| self.report(Problem::at(name.span, title()).label(error.to_string())))
            .ok()
    }

    /// Adds a problem.
    pub(super) fn report(&self, problem: Problem) {
        self.problems.report(problem);
    }

    /// Returns the field of a key, if it is there.
    pub(super) fn field(&self, key: &str) -> Option<Field<'a>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(Field::new(key.get_ref(), value, self.problems))
    }

    /// Reads the field of a key, if it is there.
    pub(super) fn optional<T>(&self, key: &str, read: impl FnOnce(Field<'a>) -> Option<T>) -> Option<At<T>> {
        let field = self.field(key)?;
        Some(field.at(read(field)?))
    }

    /// Reads the field of a key that has to be there; `example` is what to write if it is not.
    pub(super) fn required<T>(
        &self,
        key: &str,
        example: &str,
        read: impl FnOnce(Field<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        if self.table.get(key).is_none() {
            self.report(self.missing(key, example));
        }
        self.optional(key, read)
    }

    /// Returns the problem that a key is not there.
    pub(super) fn missing(&self, key: &str, example: &str) -> Problem {
        missing(&self.title, self.span, key, example)
    }

    /// Reads each element of the list at a key, those that can be read.
    pub(super) fn list<T>(&self, key: &str, read: impl Fn(Field<'a>) -> Option<T>) -> Vec<At<T>> {
        let fields = self.field(key).and_then(|field| field.list()).unwrap_or_default();
        fields.into_iter().filter_map(|field| Some(field.at(read(field)?))).collect()
    }

    /// Reads each table below a key, `[KEY.NAME]`, in the order of the file.
    pub(super) fn named<T>(&self, key: &str, read: impl Fn(At<&'a str>, Field<'a>) -> T) -> Vec<T> {
        let Some(field) = self.field(key) else { return Vec::new() };
        let DeValue::Table(table) = field.value() else {
            field.expected("a table", &format!("[{key}.NAME]"));
            return Vec::new();
        };
        let (mut tables, nameless): (Vec<_>, Vec<_>) =
            table.iter().partition(|(_, value)| value.get_ref().is_table());
        for (name, _) in nameless {
            self.report(
                Problem::at(name.span().into(), format!("`{}` stands where only names do", name.get_ref()))
                    .label(format!("of which `{key}`?"))
                    .help(format!("give it a name: [{key}.NAME]")),
            );
        }
        tables.sort_by_key(|(name, _)| name.span().start);
        let entry = |(name, value): (&'a Spanned<Cow<'a, str>>, _)| {
            let name = At { value: name.get_ref().as_ref(), span: name.span().into() };
            read(name, Field::new(name.value, value, self.problems))
        };
        tables.into_iter().map(entry).collect()
    }
}

/// Returns the problem that a table lacks a key.
pub(super) fn missing(title: &str, span: Span, key: &str, example: &str) -> Problem {
    Problem::at(span, format!("`{key}` is missing in {title}"))
        .label("needs it")
        .help(format!("add: {example}"))
        .missing()
}

fn unknown_key(key: &Spanned<Cow<'_, str>>, title: &str, keys: &[&str]) -> Problem {
    let problem = Problem::at(key.span().into(), format!("Unknown key `{}` in {title}", key.get_ref()))
        .label("unknown");
    match closest(key.get_ref(), keys.iter().copied()) {
        Some(close) => problem.help(format!("did you mean `{close}`?")),
        None => problem.help(format!("the keys here are: {}", keys.join(", "))),
    }
}
