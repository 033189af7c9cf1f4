//! `seg-runtime setup`: fetches libraries ahead of time.

use seg_cli::{Shown, note, print};
use seg_inference::library::{Build, Library, Search};

use crate::args::Setup;

pub(crate) fn setup(args: &Setup) -> anyhow::Result<()> {
    for wheel in &args.wheel {
        let (build, library) = Search::from_env(None, Build::Cpu).unpack(wheel)?;
        show(build, &library)?;
    }
    if !args.wheel.is_empty() {
        return Ok(());
    }
    let wanted = [(Build::Cpu, true), (Build::Gpu, args.gpu), (Build::OpenVino, args.openvino)];
    for (build, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        // A library that a variable names is not installed here.
        let search = Search { variable: None, ..Search::from_env(None, build) };
        let search = Search { offline: search.offline || args.offline, ..search };
        let library = match search.find()? {
            Some(library) => library,
            None => {
                if !search.offline {
                    note(&format!("fetching {}", build.package()));
                }
                search.fetch()?
            }
        };
        show(build, &library)?;
    }
    Ok(())
}

/// Prints where a library is.
fn show(build: Build, library: &Library) -> anyhow::Result<()> {
    print(&format!("{:28}  {}\n", build.package(), library.path.shown()))
}
