//! Runs exported segmentation models from the command line.

mod adopt;
mod adopted;
mod args;
mod array;
mod auto;
mod bench;
mod child;
mod compare;
mod doctor;
mod engine;
mod eval;
mod infer;
mod inspect;
mod keygen;
mod memory;
mod merge;
mod progress;
#[cfg(feature = "serve")]
mod serve;
mod setup;
mod verify;
mod warm;

use std::process::ExitCode;

use args::{Arguments, Command};
use seg_cli::{finish, parse, wrong_usage};

fn main() -> ExitCode {
    let Arguments { verbosity, command } = parse();
    verbosity.apply();
    if let Err(conflict) = command.check() {
        return wrong_usage(conflict);
    }
    let done = match &command {
        Command::Infer(args) => infer::infer(args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::serve(args),
        #[cfg(not(feature = "serve"))]
        Command::Serve(_) => {
            Err(anyhow::anyhow!("this program was built without the server; build it with its default features"))
        }
        Command::Merge(args) => merge::merge(args),
        Command::Eval(args) => eval::eval(args),
        Command::Inspect(args) => inspect::inspect(args),
        Command::Adopt(args) => adopt::adopt(args),
        Command::Compare(args) => compare::compare(args),
        Command::Bench(args) => bench::bench(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Setup(args) => setup::setup(args),
        Command::Warm(args) => warm::warm(args),
        Command::Probe(args) => doctor::probe(args),
        Command::Measure(args) => bench::measure(args),
        Command::Verify(args) => verify::verify(args),
        Command::Keygen(args) => keygen::keygen(args),
    };
    finish(done)
}
