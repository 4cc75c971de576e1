//! Setup: what one run is started with, after the configuration has been read and checked.

use std::path::PathBuf;
use std::time::Duration;

use keel_core::event::Mode;
use keel_core::instrument::Symbol;
use keel_core::param::{Params, Profile};

use keel_net::bitget::client::Instance;

use crate::affinity::{Idle, Threading};
use crate::secrets::ApiKey;

/// Everything that a run needs to know. Made by the command line, trusted from here on.
#[derive(Debug)]
pub struct Setup {
    /// How it trades.
    pub mode: Mode,
    /// Which defaults it started from; the console says so.
    pub profile: Profile,
    /// The name of this engine among those of one account; part of every client id.
    pub instance: Instance,
    /// `bot_variant` of the files.
    pub variant: String,
    /// What is traded, in the order that gives [`keel_core::instrument::InstrumentId`]s.
    pub instruments: Vec<Symbol>,
    /// Every value of the parameter table.
    pub params: Params,
    /// How hot agents are laid on threads.
    pub threading: Threading,
    /// What they do without work.
    pub idle: Idle,
    /// Cores named by the operator, or none.
    pub cores: Vec<usize>,
    /// Against whom.
    pub venue: Venue,
    /// Where this run writes; new and its own.
    pub run_dir: PathBuf,
    /// What outlives runs.
    pub state_dir: PathBuf,
    /// Where instruments of the account are claimed against every other engine on this host; `None`
    /// with the embedded venue, which nobody else can reach.
    pub claims_dir: Option<PathBuf>,
    /// Ends in order after this long; `None` runs until told to stop.
    pub run_for: Option<Duration>,
    /// Seed of everything that may be chosen at will.
    pub seed: u64,
    /// BLAKE3 of `config_text`.
    pub config_hash: [u8; 32],
    /// The effective configuration in its canonical form, without secrets.
    pub config_text: String,
}

/// The venue of a run.
#[derive(Debug)]
pub enum Venue {
    /// A venue inside this process, over TLS on loopback.
    Embedded(Market),
    /// A venue on sockets.
    Remote(Remote),
}

impl Venue {
    /// How many times faster than real its time runs.
    pub fn clock_speed(&self) -> u32 {
        match self {
            Self::Embedded(market) => market.clock_speed,
            Self::Remote(remote) => remote.clock_speed,
        }
    }
}

/// The market that an embedded venue makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Market {
    /// The same seed gives the same market.
    pub seed: u64,
    /// How many times faster than real the venue's time runs; 1 or more.
    pub clock_speed: u32,
}

/// A venue on sockets.
#[derive(Debug)]
pub struct Remote {
    /// `https://host:port` of the REST interface.
    pub rest: String,
    /// `wss://…` of the public stream.
    pub ws_public: String,
    /// `wss://…` of the private stream.
    pub ws_private: String,
    /// PEM file of the authority that signs the venue's certificate; `None` for the public ones.
    pub ca: Option<PathBuf>,
    /// The key to trade with.
    pub key: ApiKey,
    /// The account that must answer to that key.
    pub uid: u64,
    /// How many times faster than real its time runs; 1 or more.
    pub clock_speed: u32,
}
