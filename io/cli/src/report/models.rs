//! `keel report models`: the same simulated markets, quoted by each model under virtual time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use keel_core::command::CommandView;
use keel_core::event::{Boot, Event};
use keel_core::instrument::Symbol;
use keel_core::param::{Profile, VALUES, at};
use keel_core::units::SECONDS;
use keel_desk::report::edge::Shelf;
use keel_desk::report::models::{self, Comparison, Figures, MODELS, Money, Watch};
use keel_io::clock::ORIGIN;
use keel_io::journal::{Tap, TapKind};
use keel_io::memory::Block;
use keel_io::world::{Note, World, WorldConfig};

use super::{Failed, write};
use crate::args::ModelsArgs;
use crate::exit::Exit;
use crate::{configuration, print};

/// Lives every seed with every model, and says what each made of it.
pub(super) fn models(args: &ModelsArgs) -> Result<Exit, Failed> {
    let (config, _) = configuration(args.config.as_deref(), None)
        .map_err(|issues| (Exit::Usage, issues.to_string()))?;
    let symbol = Symbol::parse(args.instrument.as_bytes()).expect("a name of the two");
    let plan = Plan {
        profile: config.profile,
        params: (0..VALUES).map(|place| (place, config.params.values()[place])).collect(),
        symbol,
        hours: args.hours,
    };
    let seeds = args.first_seed..args.first_seed + args.seeds;
    let lives: Vec<(u64, usize)> =
        seeds.clone().flat_map(|seed| (0..MODELS.len()).map(move |model| (seed, model))).collect();
    let lived = plan.live_all(&lives, args.threads).map_err(|what| (Exit::Failed, what))?;
    let of = |seed| MODELS.map(|name| lived_of(&lives, &lived, seed, name));
    let comparison = Comparison {
        profile: match plan.profile {
            Profile::Wide => "wide",
            Profile::Touch => "touch",
        },
        gamma_e8: config.params.glft_gamma().0,
        hours: plan.hours,
        seeds: seeds.map(|seed| (seed, of(seed))).collect(),
    };
    if let Some(file) = &args.json {
        write(file, &format!("{:#}\n", models::json(&comparison)))?;
    }
    Ok(print(&models::lines(&comparison)))
}

/// What one life came to.
fn lived_of(lives: &[(u64, usize)], lived: &[Figures], seed: u64, name: &str) -> Figures {
    let place = lives.iter().position(|&(of, model)| of == seed && MODELS[model] == name);
    lived[place.expect("every seed was lived with every model")].clone()
}

/// What every life has in common.
struct Plan {
    profile: Profile,
    params: Vec<(usize, i64)>,
    symbol: Symbol,
    hours: u64,
}

impl Plan {
    /// Lives all, some at a time; what came of each, in their order.
    fn live_all(&self, lives: &[(u64, usize)], threads: usize) -> Result<Vec<Figures>, String> {
        let next = AtomicUsize::new(0);
        let lived = Mutex::new(vec![None; lives.len()]);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    // Relaxed: a counter, ordered with nothing.
                    while let place = next.fetch_add(1, Ordering::Relaxed)
                        && let Some(&(seed, model)) = lives.get(place)
                    {
                        let figures = self.live(seed, model);
                        lived.lock().expect("nobody panics with it")[place] = Some(figures);
                        eprintln!("seed {seed} with {} lived", MODELS[model]);
                    }
                });
            }
        });
        let lived = lived.into_inner().expect("nobody panics with it");
        lived.into_iter().map(|figures| figures.expect("every life was lived")).collect()
    }

    /// Lives one.
    fn live(&self, seed: u64, model: usize) -> Result<Figures, String> {
        let block = Block::default();
        let mut params = self.params.clone();
        params.push((at::model, model as i64));
        let config = WorldConfig {
            profile: self.profile,
            symbols: vec![self.symbol],
            params,
            ..WorldConfig::calm(seed)
        };
        let mut world = World::new(config, &block);
        let told = |what: String| format!("seed {seed} with {}: {what}", MODELS[model]);
        let until = ORIGIN.after(self.hours * 3_600 * SECONDS);
        let (boot, mut taps) = booted(&mut world).ok_or_else(|| told("it did not boot".into()))?;
        let mut shelf = Shelf::of(&boot).map_err(|odd| told(odd.0.into()))?;
        let mut watch = Watch::new(&boot, &mut shelf);
        loop {
            for tap in taps {
                take(&mut watch, &tap).map_err(told)?;
            }
            if world.now() >= until || world.has_stopped() {
                break;
            }
            world.advance(until);
            taps = taps_of(&mut world);
        }
        let engine = world.engine().ok_or_else(|| told("its engine is gone".into()))?;
        let (ledger, flow) = (engine.ledger(), engine.ledger().flow());
        Ok(watch.figures(&Money {
            realized: flow.realized,
            unrealized: ledger.unrealized(),
            fees: flow.fees,
            funding: flow.funding,
        }))
    }
}

/// Goes on until the engine has booted; its boot, and what it took and gave since.
fn booted(world: &mut World<'_>) -> Option<(Boot, Vec<Tap>)> {
    let until = ORIGIN.after(BOOT_NS_MAX);
    while world.now() < until {
        world.advance(until);
        let mut taps = taps_of(world);
        if let Some(first) = taps.first() {
            let Ok(Event::Boot(boot)) = Event::decode(&first.slot) else { return None };
            taps.remove(0);
            return Some((boot, taps));
        }
    }
    None
}

fn taps_of(world: &mut World<'_>) -> Vec<Tap> {
    let tap = |note| match note {
        Note::Tap(tap) => Some(tap),
        _ => None,
    };
    world.take_notes().into_iter().filter_map(|noted| tap(noted.note)).collect()
}

fn take(watch: &mut Watch<'_>, tap: &Tap) -> Result<(), String> {
    let strange = |_| "a record that is none of this build's".to_owned();
    let taken = match tap.kind {
        TapKind::Event => watch.event(&Event::decode(&tap.slot).map_err(strange)?),
        TapKind::Command => watch.command(&CommandView::decode(&tap.slot).map_err(strange)?),
        TapKind::Stamps | TapKind::Digest => Ok(()),
    };
    taken.map_err(|odd| odd.0.to_owned())
}

/// A process has its rules by then, or never.
const BOOT_NS_MAX: u64 = 60 * SECONDS;
