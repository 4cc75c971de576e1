//! Issues: what is wrong with a configuration, where, and what is allowed instead.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    place: Place,
    what: String,
    help: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A stretch of the file's text, with its first line.
    Span {
        path: PathBuf,
        line: usize,
        column: usize,
        text: String,
        width: usize,
    },
    File(PathBuf),
    Variable(String),
    Flag(String),
    Nowhere,
}

/// Everything that is wrong, for a person who wants to mend it in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issues(Vec<Issue>);

impl Issue {
    /// At `span` of the file's `text`.
    pub fn at(path: &Path, text: &str, span: Range<usize>, what: String) -> Self {
        let start = floor_boundary(text, span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_text = text[line_start..].split(['\n', '\r']).next().unwrap_or_default();
        let column = text[line_start..start].chars().count() + 1;
        let end = floor_boundary(text, span.end.max(start)).min(line_start + line_text.len());
        let width = text.get(start..end).map_or(1, |part| part.chars().count().max(1));
        let place = Place::Span {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            text: shown(line_text),
            width: width.min(LINE_CHARS_MAX),
        };
        Self { place, what, help: None }
    }

    /// Of the file as a whole.
    pub fn of_file(path: &Path, what: String) -> Self {
        Self { place: Place::File(path.to_owned()), what, help: None }
    }

    /// Of a variable of the environment.
    pub fn of_variable(name: &str, what: String) -> Self {
        Self { place: Place::Variable(shown(name)), what, help: None }
    }

    /// Of a flag.
    pub fn of_flag(name: &str, what: String) -> Self {
        Self { place: Place::Flag(name.to_owned()), what, help: None }
    }

    /// Of the defaults together with something else.
    pub fn nowhere(what: String) -> Self {
        Self { place: Place::Nowhere, what, help: None }
    }

    /// Says what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Issues {
    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one.
    pub fn push(&mut self, issue: Issue) {
        self.0.push(issue);
    }
}

impl From<Issue> for Issues {
    fn from(issue: Issue) -> Self {
        Self(vec![issue])
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Span { path, line, column, text, width } => {
                let path = shown(&path.to_string_lossy());
                let margin = line.to_string().len();
                writeln!(f, "{path}:{line}:{column}: {}", self.what)?;
                writeln!(f, "{:margin$} |", "")?;
                writeln!(f, "{line} | {text}")?;
                let room = LINE_CHARS_MAX.saturating_sub(*column).max(1);
                let carets = "^".repeat((*width).min(room));
                let indent = (column - 1).min(LINE_CHARS_MAX);
                write!(f, "{:margin$} | {:indent$}{carets}", "", "")?;
            }
            Place::File(path) => write!(f, "{}: {}", shown(&path.to_string_lossy()), self.what)?,
            Place::Variable(name) => write!(f, "environment variable {name}: {}", self.what)?,
            Place::Flag(name) => write!(f, "{name}: {}", self.what)?,
            Place::Nowhere => write!(f, "{}", self.what)?,
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, issue) in self.0.iter().take(SHOWN_MAX).enumerate() {
            let gap = if place == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{issue}")?;
        }
        if self.0.len() > SHOWN_MAX {
            write!(f, "\n\nand {} more", self.0.len() - SHOWN_MAX)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}

/// Text of somebody else, without what a terminal would obey, and not endless.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .take(LINE_CHARS_MAX)
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '?',
            c => c,
        })
        .collect()
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

const LINE_CHARS_MAX: usize = 160;
const SHOWN_MAX: usize = 20;
