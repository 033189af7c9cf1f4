//! `seg-runtime setup`: fetches libraries ahead of time.

use std::fmt::Write;

use seg_cli::{note, print};
use seg_inference::library::{Build, Search};

use crate::args::Setup;

pub(crate) fn setup(args: &Setup) -> anyhow::Result<()> {
    let wanted = [(Build::Cpu, true), (Build::Gpu, args.gpu), (Build::OpenVino, args.openvino)];
    for (build, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        // What a variable names is not what is set up here.
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
        let mut line = String::new();
        writeln!(line, "{:28}  {}", build.package(), library.path.display())?;
        print(&line)?;
    }
    Ok(())
}
