//! Pages: lists that come in parts, followed to their end and never in a circle.

use std::collections::BTreeSet;

/// One part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows that concern us.
    pub items: Vec<T>,
    /// How many rows it had, with those that do not.
    pub rows: usize,
    /// Where the next part begins, if the venue says so.
    pub cursor: Option<String>,
}

/// Follows the cursors of one list.
#[derive(Clone, Debug, Default)]
pub struct Pager {
    seen: BTreeSet<String>,
}

impl Pager {
    /// How many cursors have been followed.
    pub fn followed(&self) -> usize {
        self.seen.len()
    }

    /// What to do after `page`: an empty page, or one without a cursor, is the last.
    ///
    /// # Errors
    /// When a cursor comes back that has been followed, or the list has more than [`PAGES_MAX`]
    /// parts; what has been collected proves nothing then.
    pub fn turn<T>(&mut self, page: &Page<T>) -> Result<Turn, PagingError> {
        let Some(cursor) = page.cursor.as_ref().filter(|_| page.rows > 0) else {
            return Ok(Turn::End);
        };
        if self.seen.len() >= PAGES_MAX {
            return Err(PagingError::TooLong);
        }
        if !self.seen.insert(cursor.clone()) {
            return Err(PagingError::Circle);
        }
        Ok(Turn::Next(cursor.clone()))
    }
}

/// What to do after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ask for the part that begins at this cursor.
    Next(String),
    /// The list is complete.
    End,
}

/// Why a list has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagingError {
    /// A cursor came back that has been followed.
    Circle,
    /// More than [`PAGES_MAX`] parts.
    TooLong,
}

/// Most parts of one list.
pub const PAGES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: usize, cursor: Option<&str>) -> Page<()> {
        Page { items: vec![], rows, cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn a_list_ends_with_an_empty_page_or_without_a_cursor() {
        let mut pager = Pager::default();
        assert_eq!(pager.turn(&page(100, Some("a"))), Ok(Turn::Next("a".to_owned())));
        assert_eq!(pager.turn(&page(0, Some("a"))), Ok(Turn::End));
        assert_eq!(pager.turn(&page(3, None)), Ok(Turn::End));
    }

    #[test]
    fn a_list_that_goes_in_a_circle_or_on_for_ever_is_refused() {
        let mut pager = Pager::default();
        pager.turn(&page(1, Some("a"))).unwrap();
        pager.turn(&page(1, Some("b"))).unwrap();
        assert_eq!(pager.turn(&page(1, Some("a"))), Err(PagingError::Circle));
        let mut pager = Pager::default();
        for n in 0..PAGES_MAX {
            pager.turn(&page(1, Some(&n.to_string()))).unwrap();
        }
        assert_eq!(pager.turn(&page(1, Some("x"))), Err(PagingError::TooLong));
    }
}
