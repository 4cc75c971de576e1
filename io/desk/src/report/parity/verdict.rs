//! What the comparison comes to, by a rule that is told with it.

use super::super::bootstrap;
use super::super::interval::Interval;
use super::measure::{
    BLOCK_MINUTES, Block, Kind, MEASURES, Measure, NET, REGIME, SEEN_MIN, blocks,
};
use super::rows::Rows;

/// What a comparison can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// The whole interval lies within the tolerance.
    Agree,
    /// There is too little to tell, or the interval reaches across the tolerance's edge.
    Insufficient,
    /// The whole interval lies outside the tolerance.
    Differ,
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Which.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// How the two are compared: `difference`, `ratio`, `distance`.
    pub by: &'static str,
    /// At the venue, on paper, and paper against venue; not a number where there is none.
    pub figures: [f64; 3],
    /// Where each of them lies, 95 times of a hundred.
    pub intervals: [Option<Interval>; 3],
    /// Within which the third must lie.
    pub tolerated: Interval,
    /// How many fills or orders it rests on, at the venue and on paper; seconds for regimes.
    pub seen: [u64; 2],
    /// What it comes to.
    pub word: Word,
    /// Why.
    pub why: String,
}

/// What a run of both comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Blocks of `BLOCK_MINUTES` that both lived whole.
    pub blocks: usize,
    /// From which blocks were drawn.
    pub seed: u64,
    /// Every figure.
    pub compared: Vec<Compared>,
    /// Whether both earned, or both lost, and by what.
    pub direction: (Word, String),
    /// The worst of them all.
    pub word: Word,
}

impl Word {
    /// Its text for one figure.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Agree => "AGREE",
            Self::Insufficient => "INSUFFICIENT",
            Self::Differ => "DIFFER",
        }
    }

    /// Its text for all of them: what does not suffice does not pass.
    pub const fn of_all(self) -> &'static str {
        match self {
            Self::Agree => "PASS",
            Self::Insufficient => "INSUFFICIENT",
            Self::Differ => "FAIL",
        }
    }
}

/// Blocks below which nothing is said: an hour.
pub(super) const BLOCKS_MIN: usize = 60 / BLOCK_MINUTES as usize;
/// How many figures there are, with the regimes.
const FIGURES: usize = MEASURES.len() + 1;

impl Report {
    /// Compares what the same engine did at a venue and on paper. `seed` draws the blocks of the
    /// intervals.
    pub fn of(venue: &Rows, paper: &Rows, seed: u64) -> Self {
        let blocks = blocks(venue, paper);
        let whole = total(&mut blocks.iter());
        let measures: Vec<&Measure> = MEASURES.iter().chain([&REGIME]).collect();
        let figures = |all: &mut dyn Iterator<Item = &Block>| {
            let both = total(all);
            let mut drawn = [f64::NAN; 3 * FIGURES];
            for (measure, cells) in measures.iter().zip(drawn.chunks_exact_mut(3)) {
                cells.copy_from_slice(&figures_of(measure, &both));
            }
            drawn
        };
        let drawn = bootstrap::intervals(&blocks, seed, figures);
        let compared: Vec<Compared> = measures
            .iter()
            .zip(drawn.chunks_exact(3))
            .map(|(measure, intervals)| {
                let intervals = [intervals[0], intervals[1], intervals[2]];
                Compared::of(measure, &whole, blocks.len(), intervals)
            })
            .collect();
        let direction = direction(&compared);
        let word = compared.iter().map(|one| one.word).fold(direction.0, Word::max);
        Self { blocks: blocks.len(), seed, compared, direction, word }
    }

    /// How many whole minutes were compared.
    pub const fn minutes(&self) -> u64 {
        self.blocks as u64 * BLOCK_MINUTES.unsigned_abs()
    }
}

/// Whether both earned, or both lost, whatever their intervals leave open.
fn direction(compared: &[Compared]) -> (Word, String) {
    let net = compared.iter().find(|one| one.name == NET).expect("it is compared");
    let [venue, paper, _] = net.figures;
    let sign = |place: usize| {
        let interval = net.intervals[place].filter(|interval| !interval.holds_zero())?;
        Some(interval.low > 0.0)
    };
    let word = match (sign(0), sign(1)) {
        (Some(venue), Some(paper)) if venue == paper => Word::Agree,
        (Some(_), Some(_)) => Word::Differ,
        _ => Word::Insufficient,
    };
    let of = |place: usize| match net.intervals[place] {
        Some(Interval { low, high }) => format!("{low:.4} to {high:.4}"),
        None => "no interval".to_owned(),
    };
    let why = format!("{venue:.4} {} ({}) and {paper:.4} ({})", net.unit, of(0), of(1));
    (word, why)
}

impl Compared {
    fn of(
        measure: &Measure,
        whole: &Block,
        blocks: usize,
        intervals: [Option<Interval>; 3],
    ) -> Self {
        let figures = figures_of(measure, whole);
        let seen = [(measure.seen)(&whole.venue), (measure.seen)(&whole.paper)];
        let (low, high) = measure.tolerated();
        let tolerated = Interval { low, high };
        let (word, why) = judge(measure, blocks, seen, figures[2], intervals[2], tolerated);
        Self {
            name: measure.name,
            unit: measure.unit,
            by: match measure.kind {
                Kind::Difference => "difference",
                Kind::Ratio => "ratio",
                Kind::Distance => "distance",
            },
            figures,
            intervals,
            tolerated,
            seen: seen.map(|seen| seen.round() as u64),
            word,
            why,
        }
    }
}

fn judge(
    measure: &Measure,
    blocks: usize,
    seen: [f64; 2],
    apart: f64,
    interval: Option<Interval>,
    tolerated: Interval,
) -> (Word, String) {
    if blocks < BLOCKS_MIN {
        let why = format!("{blocks} blocks of {BLOCK_MINUTES} min, {BLOCKS_MIN} are needed");
        return (Word::Insufficient, why);
    }
    let least = seen[0].min(seen[1]);
    if least < measure.needs {
        let why = format!("it rests on {least:.0}, {:.0} are needed", measure.needs);
        return (Word::Insufficient, why);
    }
    let Some(Interval { low, high }) = interval else {
        return (Word::Insufficient, "a drawing of its blocks has no figure".to_owned());
    };
    let within = tolerated.low <= low && high <= tolerated.high;
    let outside = high < tolerated.low || tolerated.high < low;
    let word = match (within, outside) {
        (true, _) => Word::Agree,
        (false, true) => Word::Differ,
        (false, false) => Word::Insufficient,
    };
    let how = match word {
        Word::Agree => "within",
        Word::Insufficient => "across the edge of",
        Word::Differ => "outside",
    };
    let Interval { low: from, high: to } = tolerated;
    (word, format!("{apart:.4}, {low:.4} to {high:.4}, {how} {from:.4} to {to:.4}"))
}

fn figures_of(measure: &Measure, both: &Block) -> [f64; 3] {
    [(measure.of)(&both.venue), (measure.of)(&both.paper), measure.apart(both)]
}

fn total(blocks: &mut dyn Iterator<Item = &Block>) -> Block {
    let mut both = Block::default();
    for block in blocks {
        both.venue.add(&block.venue);
        both.paper.add(&block.paper);
    }
    both
}

/// The rule in words, for whoever reads the verdict.
pub(super) fn rule() -> String {
    format!(
        "A figure AGREES when the 95 % interval of paper against venue lies wholly within its \
         tolerance, DIFFERS when it lies wholly outside, and is INSUFFICIENT where it reaches \
         across an edge, below {BLOCKS_MIN} blocks of {BLOCK_MINUTES} minutes or below {SEEN_MIN} \
         fills or orders on either side. PASS needs every figure to agree, and that both earn or \
         both lose by the whole intervals of their net edge after 30 s. Intervals are \
         percentiles of {} drawings of whole blocks, of both at once.",
        bootstrap::DRAWS
    )
}
