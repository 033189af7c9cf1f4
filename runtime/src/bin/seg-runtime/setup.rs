//! `seg-runtime setup`: fetches libraries ahead of time.

use std::path::Path;

use seg_cli::{Shown, note, print};
use seg_inference::Provider;
use seg_inference::library::{Build, Search};

use crate::args::Setup;

pub(crate) fn setup(args: &Setup) -> anyhow::Result<()> {
    for wheel in &args.wheel {
        let (package, library) = Search::from_env(None, Build::Cpu).unpack(wheel)?;
        show(&package, &library)?;
    }
    if !args.wheel.is_empty() {
        return Ok(());
    }
    let mut providers: Vec<_> = args.ep.iter().filter_map(|ep| ep.provider()).collect();
    if args.openvino {
        providers.push(Provider::OpenVino);
    }
    let needs = |build| providers.iter().any(|provider| provider.build() == build);
    let wanted = [
        (Build::Cpu, true),
        (Build::Gpu, args.gpu || needs(Build::Gpu)),
        // Also where a plug-in takes its place: the libraries may be for another machine.
        (Build::OpenVino, args.openvino || needs(Build::OpenVino)),
    ];
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
        show(&build.package(), &library.path)?;
    }
    for plugin in providers.iter().filter_map(|provider| provider.plugin()) {
        let search = Search::from_env(None, Build::Cpu);
        let search = Search { offline: search.offline || args.offline, ..search };
        if search.find_plugin(plugin).is_none() && !search.offline {
            note(&format!("fetching {}", plugin.package()));
        }
        show(&plugin.package(), &search.fetch_plugin(plugin)?)?;
    }
    Ok(())
}

/// Prints where a library is.
fn show(package: &str, library: &Path) -> anyhow::Result<()> {
    print(&format!("{package:28}  {}\n", library.shown()))
}
