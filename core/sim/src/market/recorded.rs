//! Recorded: the embedded record of candles, of mark and index, and of funding rates.
//!
//! `core/sim/data/README.md` tells where the record comes from and how it is laid out. A day is
//! decoded when it is asked for; nothing is kept. The files are part of this program: one that does
//! not decode is a defect of the build, and panics.

use keel_core::units::{Rate, UnixNanos};

/// Candles of a contract, whole days without a gap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    days: Days,
}

/// A recorded candle of fifteen minutes. Prices are ticks and the volume is lots, of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quarter {
    /// The first price; the close of the candle before.
    pub(crate) open: i64,
    /// The highest price.
    pub(crate) high: i64,
    /// The lowest price.
    pub(crate) low: i64,
    /// The last price.
    pub(crate) close: i64,
    /// What was traded.
    pub(crate) volume: i64,
}

impl Record {
    /// BTCUSDT: ticks of 0.1 USDT, lots of 0.0001 BTC.
    pub(crate) fn btcusdt() -> Self {
        Self { days: Days::read(include_bytes!("../../data/btcusdt_15m.bin")) }
    }

    /// ETHUSDT: ticks of 0.01 USDT, lots of 0.01 ETH.
    pub(crate) fn ethusdt() -> Self {
        Self { days: Days::read(include_bytes!("../../data/ethusdt_15m.bin")) }
    }

    /// How many days there are.
    pub(crate) const fn days(&self) -> usize {
        self.days.count
    }

    /// The first day, counted from 1970-01-01.
    pub(crate) const fn first_day(&self) -> i64 {
        self.days.first
    }

    /// The candles of the day that is `number` days after the first.
    ///
    /// # Panics
    /// When the record has no such day.
    pub(crate) fn day(&self, number: usize) -> [Quarter; QUARTERS] {
        let (mut bytes, mut last) = self.days.day(number);
        std::array::from_fn(|_| {
            let open = last;
            let close = open + bytes.signed();
            let high = open.max(close) + bytes.plain();
            let low = open.min(close) - bytes.plain();
            last = close;
            Quarter { open, high, low, close, volume: bytes.plain() }
        })
    }
}

/// How far mark and index stood from the last price of BTCUSDT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BasisRecord {
    days: Days,
}

/// Differences at the end of a candle, in ticks of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The mark less the last price.
    pub(crate) mark: i64,
    /// The index less the last price.
    pub(crate) index: i64,
}

impl BasisRecord {
    /// BTCUSDT, over the same days as [`Record::btcusdt`].
    pub(crate) fn btcusdt() -> Self {
        Self { days: Days::read(include_bytes!("../../data/btcusdt_basis.bin")) }
    }

    /// The differences of the day that is `number` days after the first.
    ///
    /// # Panics
    /// When the record has no such day.
    pub(crate) fn day(&self, number: usize) -> [Basis; QUARTERS] {
        let (mut bytes, _) = self.days.day(number);
        std::array::from_fn(|_| Basis { mark: bytes.signed(), index: bytes.signed() })
    }
}

/// Funding rates of a contract.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FundingRecord {
    first: i64,
    rates: &'static [u8],
}

impl FundingRecord {
    /// BTCUSDT.
    pub(crate) fn btcusdt() -> Self {
        Self::read(include_bytes!("../../data/btcusdt_funding.bin"))
    }

    /// ETHUSDT.
    pub(crate) fn ethusdt() -> Self {
        Self::read(include_bytes!("../../data/ethusdt_funding.bin"))
    }

    /// The rate settled at the last eight-hour instant up to `at`. The record covers a month; it is
    /// repeated before and after.
    pub(crate) fn rate(&self, at: UnixNanos) -> Rate {
        let instant = at.0.div_euclid(FUNDING_NS);
        let place = (instant - self.first).rem_euclid(self.count() as i64) as usize;
        let millionths = i16::from_le_bytes([self.rates[2 * place], self.rates[2 * place + 1]]);
        Rate(i64::from(millionths) * 100)
    }

    fn read(file: &'static [u8]) -> Self {
        assert_eq!(&file[..4], b"KMF1", "the record of funding rates");
        let record = Self { first: i64::from(word(file, 4)), rates: &file[12..] };
        assert_eq!(record.count(), word(file, 8) as usize, "the record of funding rates is whole");
        record
    }

    const fn count(&self) -> usize {
        self.rates.len() / 2
    }
}

/// A file of days, each with its place and its opening price.
#[derive(Clone, Copy, Debug)]
struct Days {
    first: i64,
    count: usize,
    table: &'static [u8],
    body: &'static [u8],
    #[cfg(test)]
    checksum: u32,
}

impl Days {
    fn read(file: &'static [u8]) -> Self {
        assert_eq!(&file[..4], b"KMR1", "a record of days");
        let count = word(file, 8) as usize;
        let body = HEAD + count * ROW;
        Self {
            first: i64::from(word(file, 4)),
            count,
            table: &file[HEAD..body],
            body: &file[body..file.len() - 4],
            #[cfg(test)]
            checksum: word(file, file.len() - 4),
        }
    }

    fn day(&self, number: usize) -> (Bytes, i64) {
        assert!(number < self.count, "the record has {} days, not {number}", self.count);
        let place = word(self.table, number * ROW) as usize;
        (Bytes { rest: &self.body[place..] }, i64::from(word(self.table, number * ROW + 4)))
    }
}

/// Numbers of one to ten bytes, one after the other.
struct Bytes {
    rest: &'static [u8],
}

impl Bytes {
    fn plain(&mut self) -> i64 {
        let (mut value, mut shift) = (0_i64, 0);
        loop {
            let (&byte, rest) = self.rest.split_first().expect("a number of the record is whole");
            self.rest = rest;
            value |= i64::from(byte & 127) << shift;
            if byte < 128 {
                return value;
            }
            shift += 7;
        }
    }

    fn signed(&mut self) -> i64 {
        let value = self.plain();
        if value & 1 == 0 { value >> 1 } else { -(value >> 1) - 1 }
    }
}

fn word(bytes: &[u8], place: usize) -> u32 {
    u32::from_le_bytes(bytes[place..place + 4].try_into().expect("four bytes"))
}

/// Candles a day.
pub(crate) const QUARTERS: usize = 96;
/// Nanoseconds in a candle.
pub(crate) const QUARTER_NS: i64 = 15 * UnixNanos::MINUTE;

const HEAD: usize = 12;
const ROW: usize = 8;
const FUNDING_NS: i64 = 8 * 60 * UnixNanos::MINUTE;
const _: () = assert!(QUARTERS as i64 * QUARTER_NS == UnixNanos::DAY);

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum that the file states of all its values against that of what is decoded.
    fn assert_whole<const N: usize>(days: Days, values: impl Fn(usize) -> Vec<[i64; N]>) {
        let mut hasher = crc32fast::Hasher::new();
        for number in 0..days.count {
            for value in values(number).as_flattened() {
                hasher.update(&value.to_le_bytes());
            }
        }
        assert_eq!(hasher.finalize(), days.checksum);
    }

    fn quarter(open: i64, high: i64, low: i64, close: i64, volume: i64) -> Quarter {
        Quarter { open, high, low, close, volume }
    }

    #[test]
    fn every_recorded_value_decodes_to_what_was_encoded() {
        for record in [Record::btcusdt(), Record::ethusdt()] {
            let values = |q: &Quarter| [q.open, q.high, q.low, q.close, q.volume];
            assert_whole(record.days, |number| record.day(number).iter().map(values).collect());
        }
        let basis = BasisRecord::btcusdt();
        assert_whole(basis.days, |number| {
            basis.day(number).iter().map(|b| [b.mark, b.index]).collect()
        });
    }

    #[test]
    fn candles_of_the_source_come_back_exactly() {
        let btc = Record::btcusdt();
        assert_eq!((btc.first_day(), btc.days()), (20_089, 444));
        assert_eq!(btc.day(0)[0], quarter(935_706, 936_902, 934_602, 936_374, 1_784_780));
        assert_eq!(btc.day(0)[1], quarter(936_374, 938_803, 935_892, 937_436, 3_149_830));
        // 2026-02-21T23:45, the candle of the first burst of prints.
        assert_eq!(btc.day(416)[95], quarter(680_243, 680_259, 679_183, 679_356, 1_792_932));
        let eth = Record::ethusdt();
        assert_eq!((eth.first_day(), eth.days()), (20_089, 444));
        assert_eq!(eth.day(0)[0], quarter(333_656, 334_803, 333_520, 334_782, 110_527));
        assert_eq!(eth.day(0)[2], quarter(334_911, 335_996, 334_830, 335_536, 3_497_561));
    }

    #[test]
    fn mark_and_index_of_the_source_come_back() {
        // Closes of 2025-01-01T00:00: last 93637.4, mark 93626.1, index 93647.137872.
        let first = BasisRecord::btcusdt().day(0)[0];
        assert_eq!(first, Basis { mark: -113, index: 97 });
        assert_eq!(first.index, (936_471.378_72_f64 - 936_374.0).round() as i64);
    }

    #[test]
    fn funding_rates_of_the_source_come_back_and_repeat() {
        let btc = FundingRecord::btcusdt();
        let at = |millis| btc.rate(UnixNanos::from_millis(millis));
        assert_eq!(at(1_771_200_000_000), Rate(10_000));
        assert_eq!(at(1_771_228_800_000), Rate(6_700));
        assert_eq!(at(1_771_257_600_000), Rate(-3_400));
        assert_eq!(at(1_771_257_599_999), Rate(6_700), "between two instants the earlier holds");
        assert_eq!(at(1_771_200_000_000 - 99 * 28_800_000), Rate(10_000));
        assert_eq!(at(1_771_200_000_000 + 99 * 28_800_000), Rate(10_000));
        let eth = FundingRecord::ethusdt();
        assert_eq!(eth.rate(UnixNanos::from_millis(1_771_344_000_000)), Rate(-2_400));
    }
}
