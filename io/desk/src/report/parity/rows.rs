//! Raw rows: orders, fills and minutes of one engine, as they stand in files of whole numbers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use keel_core::units::Side;

use super::{REGIMES, WAITS};

/// What an engine has done. Times are the venue's, in nanoseconds since 1970, money counts 1e-8
/// USDT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// In the order in which they were sent.
    pub orders: Vec<Order>,
    /// By time.
    pub fills: Vec<Fill>,
    /// By time, without a gap.
    pub minutes: Vec<Minute>,
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was live when the rows ended, or nobody has said what became of it.
    Open,
    /// It was executed, whole or in part.
    Filled,
    /// It was canceled without an execution.
    Canceled,
    /// It would have taken, and was canceled for that.
    PostOnly,
    /// It was refused for anything else.
    Rejected,
}

/// An order that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// When.
    pub sent: i64,
    /// Its side.
    pub side: Side,
    /// When the first answer to it came; 0 when none did.
    pub answered: i64,
    /// When it was executed first, by the matching engine; 0 when it was not.
    pub filled: i64,
    /// When its end was told; 0 while it is open.
    pub ended: i64,
    /// How.
    pub end: End,
}

/// An execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// When, by the matching engine.
    pub ts: i64,
    /// Our side.
    pub side: Side,
    /// We rested.
    pub maker: bool,
    /// Price times size.
    pub notional: i64,
    /// Paid; negative is a rebate.
    pub fee: i64,
    /// Twice what it gained against the mid before it; `None` where that is not known.
    pub capture_x2: Option<i64>,
    /// Twice what it was worth against the mid after each horizon.
    pub worth_x2: [Option<i64>; WAITS],
}

/// A minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    /// Its number since 1970.
    pub minute: i64,
    /// The account's equity as it ended.
    pub equity: i64,
    /// For how many seconds each regime was told, summed over the instruments.
    pub regimes: [i64; REGIMES],
}

/// The files of rows.
const ORDERS: &str = "orders.csv";
const FILLS: &str = "fills.csv";
const MINUTES: &str = "minutes.csv";
const ORDER_HEAD: &str = "sent_ns,sell,answered_ns,filled_ns,ended_ns,end";
const FILL_HEAD: &str = "ts_ns,sell,maker,notional_e8,fee_e8,capture_x2_e8,\
                         worth_100ms_x2_e8,worth_1s_x2_e8,worth_5s_x2_e8,worth_30s_x2_e8,\
                         worth_300s_x2_e8";
const MINUTE_HEAD: &str = "minute,equity_e8,seconds_by_regime";

impl End {
    /// Their numbers in files are their places here.
    const ALL: [Self; 5] =
        [Self::Open, Self::Filled, Self::Canceled, Self::PostOnly, Self::Rejected];
}

impl Rows {
    /// Writes the files into `dir`, which is there.
    ///
    /// # Errors
    /// What the system says, with the file.
    pub fn save(&self, dir: &Path) -> Result<(), String> {
        let orders = self.orders.iter().map(|row| {
            let Order { sent, side, answered, filled, ended, end } = *row;
            vec![
                Some(sent),
                sells(side),
                Some(answered),
                Some(filled),
                Some(ended),
                Some(end as i64),
            ]
        });
        let fills = self.fills.iter().map(|row| {
            let Fill { ts, side, maker, notional, fee, capture_x2, worth_x2 } = *row;
            let maker = Some(i64::from(maker));
            let mut cells =
                vec![Some(ts), sells(side), maker, Some(notional), Some(fee), capture_x2];
            cells.extend(worth_x2);
            cells
        });
        let minutes = self.minutes.iter().map(|row| {
            let mut cells = vec![Some(row.minute), Some(row.equity)];
            cells.extend(row.regimes.map(Some));
            cells
        });
        write(&dir.join(ORDERS), ORDER_HEAD, orders)?;
        write(&dir.join(FILLS), FILL_HEAD, fills)?;
        write(&dir.join(MINUTES), MINUTE_HEAD, minutes)
    }

    /// Reads the files in `dir`.
    ///
    /// # Errors
    /// The first line that is no row, or what the system says.
    pub fn load(dir: &Path) -> Result<Self, String> {
        let rows = Self {
            orders: read(&dir.join(ORDERS), ORDER_HEAD, order)?,
            fills: read(&dir.join(FILLS), FILL_HEAD, fill)?,
            minutes: read(&dir.join(MINUTES), MINUTE_HEAD, minute)?,
        };
        let gap = rows.minutes.windows(2).find(|pair| pair[1].minute != pair[0].minute + 1);
        match gap {
            Some(pair) => Err(format!("{}: a gap behind {}", dir.display(), pair[0].minute)),
            None => Ok(rows),
        }
    }
}

fn sells(side: Side) -> Option<i64> {
    Some(i64::from(side == Side::Sell))
}

fn write(
    path: &Path,
    head: &str,
    rows: impl Iterator<Item = Vec<Option<i64>>>,
) -> Result<(), String> {
    let mut text = head.to_owned() + "\n";
    for row in rows {
        for (place, cell) in row.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let cell = cell.map_or_else(String::new, |number| number.to_string());
            let _ = write!(text, "{comma}{cell}");
        }
        text.push('\n');
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn read<R>(
    path: &Path,
    head: &str,
    row: impl Fn(&[Option<i64>]) -> Option<R>,
) -> Result<Vec<R>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let body = text.strip_prefix(head).and_then(|text| text.strip_prefix('\n'));
    let body = body.ok_or_else(|| format!("{}: its head is not {head}", path.display()))?;
    let row_of = |(place, line): (usize, &str)| {
        let cells: Option<Vec<Option<i64>>> = line.split(',').map(cell).collect();
        let found = cells.and_then(|cells| row(&cells));
        found.ok_or_else(|| format!("{}:{}: no row: {line}", path.display(), place + 2))
    };
    body.lines().enumerate().map(row_of).collect()
}

/// A number, or nothing.
fn cell(text: &str) -> Option<Option<i64>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

fn order(cells: &[Option<i64>]) -> Option<Order> {
    let [sent, sell, answered, filled, ended, end] = whole(cells)?;
    Some(Order {
        sent,
        side: side(sell)?,
        answered,
        filled,
        ended,
        end: *End::ALL.get(usize::try_from(end).ok()?)?,
    })
}

fn fill(cells: &[Option<i64>]) -> Option<Fill> {
    let (sure, perhaps) = cells.split_at_checked(5)?;
    let [ts, sell, maker, notional, fee] = whole(sure)?;
    let (capture_x2, worth_x2) = perhaps.split_first()?;
    Some(Fill {
        ts,
        side: side(sell)?,
        maker: flag(maker)?,
        notional,
        fee,
        capture_x2: *capture_x2,
        worth_x2: worth_x2.try_into().ok()?,
    })
}

fn minute(cells: &[Option<i64>]) -> Option<Minute> {
    let (sure, regimes) = cells.split_at_checked(2)?;
    let [minute, equity] = whole(sure)?;
    Some(Minute { minute, equity, regimes: whole(regimes)? })
}

/// Cells of which none is empty.
fn whole<const N: usize>(cells: &[Option<i64>]) -> Option<[i64; N]> {
    let cells: Option<Vec<i64>> = cells.iter().copied().collect();
    cells?.try_into().ok()
}

fn side(sell: i64) -> Option<Side> {
    Some(if flag(sell)? { Side::Sell } else { Side::Buy })
}

const fn flag(number: i64) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Rows {
        let order = Order {
            sent: 5,
            side: Side::Sell,
            answered: 6,
            filled: 0,
            ended: 9,
            end: End::PostOnly,
        };
        let fill = Fill {
            ts: 7,
            side: Side::Buy,
            maker: true,
            notional: 100,
            fee: -1,
            capture_x2: None,
            worth_x2: [Some(-3), None, Some(0), Some(2), None],
        };
        let minute = |minute| Minute { minute, equity: 1_000, regimes: [7; REGIMES] };
        Rows { orders: vec![order], fills: vec![fill], minutes: vec![minute(1), minute(2)] }
    }

    #[test]
    fn rows_come_back_from_their_files() {
        let dir = tempfile::tempdir().expect("a directory");
        some().save(dir.path()).expect("written");
        assert_eq!(Rows::load(dir.path()), Ok(some()));
        Rows::default().save(dir.path()).expect("written");
        assert_eq!(Rows::load(dir.path()), Ok(Rows::default()));
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        for (file, from, to, says) in [
            (ORDERS, "5,1,6", "5,2,6", "orders.csv:2: no row"),
            (ORDERS, ",9,3", ",9,5", "orders.csv:2: no row"),
            (ORDERS, ",9,3", ",9", "orders.csv:2: no row"),
            (ORDERS, "sent_ns", "sent", "orders.csv: its head is not"),
            (FILLS, "100,-1", "100,x", "fills.csv:2: no row"),
            (FILLS, "100,-1", ",-1", "fills.csv:2: no row"),
            (FILLS, ",2,\n", ",2\n", "fills.csv:2: no row"),
            (MINUTES, "\n2,", "\n3,", "a gap behind 1"),
        ] {
            some().save(dir.path()).expect("written");
            let path = dir.path().join(file);
            let text = fs::read_to_string(&path).expect("there");
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            fs::write(&path, changed).expect("written");
            let refused = Rows::load(dir.path()).expect_err("no rows");
            assert!(refused.contains(says), "{from}: {refused}");
        }
        fs::remove_file(dir.path().join(FILLS)).expect("gone");
        assert!(Rows::load(dir.path()).is_err());
    }
}
