//! `seg-runtime warm`: does ahead of time all that a first run would wait for.

use std::time::Instant;

use seg_runtime::{Session, bench::example_input, read_model};

use crate::{args::Warm, engine, print};

pub(crate) fn warm(args: &Warm) -> anyhow::Result<()> {
    // Before a library is fetched for it.
    let contract = read_model(&args.model)?.contract;
    let start = Instant::now();
    let (environment, options) = engine::start(&args.engine)?;
    let mut session = engine::open(&options, || Session::open(&environment, &args.model, &options))?;
    let shape = options.shapes(&contract.input).best(contract.input.color.channels());
    session.answer(example_input(shape).view())?;
    let seconds = start.elapsed().as_secs_f64();
    print(&format!("`{}` is ready to run with {} after {seconds:.1} s\n", args.model.display(), session.provider()))
}
