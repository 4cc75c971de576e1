//! The mids of one instrument by the matching engine's time, as far as they are known.

/// Mids, in stretches without a hole.
///
/// Memory grows with the changes of the mid, 16 bytes each: a month of ten a second is 400 MB.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape {
    stretches: Vec<Stretch>,
    /// The newest stretch may go on.
    open: bool,
}

/// Frames of which each continues the one before.
#[derive(Clone, Debug)]
struct Stretch {
    /// Time of its first frame, in nanoseconds since 1970.
    from: i64,
    /// Time of its last.
    to: i64,
    /// Where the mid changed, and to what: bid plus ask, in 1e-8 USDT.
    mids: Vec<(i64, i64)>,
}

impl Tape {
    /// Takes in a whole frame of time `at` and its mid, `None` where a side is empty. `fresh`: the
    /// frame stands for itself, so nothing is known of what lies between it and the one before.
    pub(super) fn frame(&mut self, fresh: bool, mid_x2: Option<i64>, at: i64) {
        let Some(mid_x2) = mid_x2 else {
            self.end();
            return;
        };
        match self.stretches.last_mut() {
            Some(last) if self.open && !fresh => {
                last.to = last.to.max(at);
                if last.mids.last().is_none_or(|&(_, stood)| stood != mid_x2) {
                    last.mids.push((last.to, mid_x2));
                }
            }
            last => {
                // A connection that takes over may begin a little behind the one before it.
                let from = last.map_or(at, |last| last.to.max(at));
                self.stretches.push(Stretch { from, to: from, mids: vec![(from, mid_x2)] });
            }
        }
        self.open = true;
    }

    /// What follows does not continue what was.
    pub(super) const fn end(&mut self) {
        self.open = false;
    }

    /// The mid that stood at `at`: that of the last frame until then, and a frame at `at` or later
    /// that continues it shows that it stood. `None` where that is not known.
    pub(super) fn at(&self, at: i64) -> Option<i64> {
        let begun = self.stretches.partition_point(|stretch| stretch.from <= at);
        let stretch = self.stretches[..begun].last().filter(|stretch| at <= stretch.to)?;
        let stood = stretch.mids.partition_point(|&(from, _)| from <= at);
        Some(stretch.mids[..stood].last()?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mid_stands_until_the_next_frame_and_no_longer_than_a_frame_shows() {
        let mut tape = Tape::default();
        assert_eq!(tape.at(10), None);
        tape.frame(true, Some(200), 10);
        tape.frame(false, Some(200), 15);
        tape.frame(false, Some(204), 20);
        for (at, mid) in [(9, None), (10, Some(200)), (19, Some(200)), (20, Some(204)), (21, None)]
        {
            assert_eq!(tape.at(at), mid, "{at}");
        }
    }

    #[test]
    fn nothing_is_known_across_a_hole() {
        let mut tape = Tape::default();
        tape.frame(true, Some(200), 10);
        tape.end();
        tape.frame(false, Some(210), 30);
        tape.frame(true, Some(220), 40);
        tape.frame(false, None, 50);
        tape.frame(false, Some(230), 60);
        for (at, mid) in [
            (10, Some(200)),
            (20, None),
            (30, Some(210)),
            (35, None),
            (40, Some(220)),
            (50, None),
            (60, Some(230)),
        ] {
            assert_eq!(tape.at(at), mid, "{at}");
        }
    }

    #[test]
    fn time_does_not_go_back_where_a_connection_takes_over() {
        let mut tape = Tape::default();
        tape.frame(true, Some(200), 10);
        tape.frame(false, Some(202), 20);
        tape.frame(true, Some(204), 19);
        tape.frame(false, Some(206), 25);
        assert_eq!((tape.at(19), tape.at(20), tape.at(25)), (Some(200), Some(204), Some(206)));
    }
}
