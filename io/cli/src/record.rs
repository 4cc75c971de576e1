//! `keel record`: the public market to a file, and what such a file holds.

use std::path::Path;

use keel_io::mode::record::{Plan, record};
use keel_io::mode::sim::StartError;
use keel_io::recording::{Kind, RecordingError, RecordingReader};
use keel_io::signals;

use crate::args::RecordArgs;
use crate::exit::Exit;
use crate::{complain, configuration, print, start};

/// Records, or reads a recording.
pub(crate) fn run(args: &RecordArgs) -> Exit {
    match (&args.out, &args.check) {
        (Some(out), None) => capture(args, out),
        (None, Some(file)) => check(file),
        _ => {
            complain(&"write --out FILE to record, or --check FILE to read a recording");
            Exit::Usage
        }
    }
}

fn capture(args: &RecordArgs, out: &Path) -> Exit {
    let (config, _) = match configuration(args.config.as_deref(), None) {
        Ok(found) => found,
        Err(issues) => {
            complain(&issues);
            return Exit::Usage;
        }
    };
    let stop = match signals::stop_flag(Exit::Failed as i32) {
        Ok(stop) => stop,
        Err(error) => {
            complain(&format!("signals: {error}"));
            return Exit::Failed;
        }
    };
    let [rest, ws_public] = config.venue.public().map(str::to_owned);
    let plan = Plan {
        rest,
        ws_public,
        ca: config.venue.ca.clone(),
        instance: config.instance,
        instruments: config.instruments.clone(),
        out: out.to_owned(),
        run_for: args.run_for,
        bytes_max: u64::from(args.max_mib) << 20,
    };
    match record(&plan, &stop) {
        Ok(done) => {
            let why = if done.full { ", as long as it may be" } else { "" };
            print(&format!(
                "{} messages, {} bytes in {}{why}\n  connections  {}\n  not read     {}\n",
                done.frames,
                done.bytes,
                out.display(),
                done.connects,
                done.refused
            ))
        }
        Err(StartError::System(error)) => {
            complain(&format!("{}: {error}", out.display()));
            Exit::State
        }
        Err(error) => {
            complain(&error);
            start::exit_of(&error)
        }
    }
}

/// Reads a recording to its end and says what it holds.
fn check(file: &Path) -> Exit {
    match tally(file) {
        Ok(text) => print(&text),
        Err(error) => {
            complain(&format!("{} {error}", file.display()));
            Exit::State
        }
    }
}

fn tally(file: &Path) -> Result<String, RecordingError> {
    let mut reader = RecordingReader::open(file)?;
    let (mut counts, mut span, mut torn) = ([0_u64; 5], None, None);
    loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                counts[record.kind as usize] += 1;
                let (from, _) = span.unwrap_or((record.at, record.at));
                span = Some((from, record.at));
            }
            Ok(None) => break,
            Err(RecordingError::Torn(at)) => {
                torn = Some(at);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let length_ms = span.map_or(0, |(from, to)| to.since(from) / 1_000_000);
    let end = match (torn, counts[Kind::End as usize]) {
        (Some(at), _) => format!("torn off at byte {at}"),
        (None, 0) => "cut off after a whole record".to_owned(),
        (None, _) => "in order".to_owned(),
    };
    Ok(format!(
        "{}\n  messages     {}\n  connections  {}, {} lost\n  length       {length_ms} ms\n  \
         end          {end}\n",
        reader.about()["stream"].as_str().unwrap_or("?"),
        counts[Kind::Frame as usize],
        counts[Kind::Opened as usize],
        counts[Kind::Lost as usize],
    ))
}
