//! The comparison of speed: cases, rounds and table.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use burn::tensor::Device;
use seg_benches::{median, median_ratio};
use seg_nets::device::DeviceChoice;
use seg_nets::network::NetworkName;
use seg_nets::precision::Precision;
use seg_nets::weights::Weights;

use crate::case::{self, Case};
use crate::measure::{Measured, Measurement};
use crate::side::{Setting, Side};
use crate::steps;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// A title, and the quantity of a measurement.
type Quantity = (&'static str, fn(&Measured) -> f64);

const MILLISECONDS: Quantity = ("ms", |side| side.seconds_median * 1e3);
/// The memory of the whole process, and the part of it that came after the start.
const CPU_QUANTITIES: &[Quantity] = &[
    MILLISECONDS,
    ("processor ms", |side| side.cpu_seconds * 1e3),
    ("peak MiB", |side| side.rss_peak as f64 / MEBIBYTE),
    ("above start", |side| (side.rss_peak - side.rss_before) as f64 / MEBIBYTE),
];
/// The memory of the process says nothing of the GPU's.
const GPU_QUANTITIES: &[Quantity] = &[MILLISECONDS];

/// Compares ours with PyTorch.
pub(crate) struct Comparison {
    network: NetworkName,
    /// The Python of the other side.
    python: PathBuf,
    /// The device of both sides.
    device: DeviceChoice,
    /// The measurements of each case.
    rounds: usize,
    /// The number of threads of each side.
    threads: usize,
    cases: Vec<Case>,
    precisions: Vec<Precision>,
}

/// The measurements of one side.
struct Row {
    name: String,
    precision: Precision,
    rounds: Vec<Measured>,
}

impl Comparison {
    /// Returns the device's cases whose name holds one of the texts, in the given precisions; all
    /// where none are given.
    pub(crate) fn new(
        network: NetworkName,
        python: PathBuf,
        device: DeviceChoice,
        rounds: usize,
        threads: usize,
        cases: &[String],
        precisions: &[Precision],
    ) -> Result<Self> {
        let all = Case::all(network, device);
        let usual: &[Precision] = match device {
            DeviceChoice::Cpu => &[Precision::Fp32],
            _ => &[Precision::Fp32, Precision::Bf16],
        };
        let is_asked = |name: &str| cases.is_empty() || cases.iter().any(|text| name.contains(text.as_str()));
        let chosen: Vec<Case> = all.iter().filter(|case| is_asked(&case.name())).copied().collect();
        let names = all.iter().map(Case::name).collect::<Vec<_>>().join(", ");
        ensure!(!chosen.is_empty(), "no case holds `{}` in its name; there are {names}", cases.join("` or `"));
        let precisions = if precisions.is_empty() { usual } else { precisions }.to_vec();
        Ok(Self { network, python, device, rounds: rounds.max(1), threads, cases: chosen, precisions })
    }

    /// Measures everything and prints it; errors are reported at the end, so that no result is
    /// lost.
    pub(crate) fn run(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let weights = folder.path().join("weights.safetensors");
        let device = Device::flex();
        device.seed(0);
        let config = case::config(self.network)?;
        let net = config.init(&device);
        Weights::from_network(&net).write(&weights, None)?;
        println!("{config}: {} parameters", net.num_learnable());
        println!("{} rounds in turn on {}, {} threads", self.rounds, self.device, self.threads);
        let mut faults = Vec::new();
        for case in &self.cases {
            faults.extend(self.compare(case, &weights));
        }
        for precision in self.precisions.iter().copied() {
            let compared = steps::compare(self.network, &self.python, self.device, self.threads, precision, &weights);
            faults.extend(compared.unwrap_or_else(|error| vec![format!("{error:#}")]));
        }
        if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
    }

    /// Measures a case and prints its table; returns the sides that could not be measured.
    fn compare(&self, case: &Case, weights: &Path) -> Vec<String> {
        let mut sides = Vec::new();
        for precision in self.precisions.iter().copied() {
            sides.push((format!("here, {}", precision.name()), precision, Side::Ours));
            let peer = |setting: Setting| (setting.to_string(), precision, Side::PyTorch(self.python.clone(), setting));
            sides.extend(Setting::all(precision, self.device).into_iter().map(peer));
        }
        let mut rows: Vec<Row> = Vec::new();
        let mut faults = Vec::new();
        for round in 0..self.rounds {
            for (name, precision, side) in &sides {
                let measurement = Measurement {
                    network: self.network,
                    task: case.task,
                    size: case.size.to_vec(),
                    batch: case.batch,
                    steps: case.steps,
                    weights: weights.into(),
                    device: self.device,
                    precision: *precision,
                    checkpoint_activations: false,
                    save: None,
                };
                match side.measure(&measurement, self.threads) {
                    Ok(measured) if round == 0 => {
                        rows.push(Row { name: name.clone(), precision: *precision, rounds: vec![measured] });
                    }
                    Ok(measured) => {
                        if let Some(row) = rows.iter_mut().find(|row| row.name == *name) {
                            row.rounds.push(measured);
                        }
                    }
                    Err(error) => faults.push(format!("{}, {name}: {error:#}", case.name())),
                }
            }
        }
        self.print(case, &rows);
        faults
    }

    /// Formats a line for each side; the ratios are those of our time, and memory, to PyTorch's.
    fn print(&self, case: &Case, rows: &[Row]) {
        let quantities = if self.device == DeviceChoice::Cpu { CPU_QUANTITIES } else { GPU_QUANTITIES };
        let titles: String = quantities.iter().map(|(title, _)| format!("{title:>14} {:>6}", "ratio")).collect();
        println!("\n{:34}{titles} {:>10}", case.name(), "images/s");
        for row in rows {
            let ours = rows.iter().find(|ours| ours.precision == row.precision && ours.name.starts_with("here"));
            let figures: String = quantities
                .iter()
                .map(|(_, quantity)| {
                    let of = |row: &Row| row.rounds.iter().map(quantity).collect::<Vec<_>>();
                    let ratio = ours.filter(|ours| ours.name != row.name).map(|ours| median_ratio(&of(ours), &of(row)));
                    let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
                    format!("{:14.1} {ratio:>6}", median(of(row)))
                })
                .collect();
            println!("{:34}{figures} {:10.2}", row.name, case.batch as f64 / row.seconds());
        }
        let fastest = |ours: bool| {
            let of = rows.iter().filter(|row| row.name.starts_with("here") == ours);
            of.min_by(|one, other| one.seconds().total_cmp(&other.seconds()))
        };
        if let (Some(ours), Some(theirs)) = (fastest(true), fastest(false)) {
            let ratio = ours.seconds() / theirs.seconds();
            println!("the fastest of each: {} takes {ratio:.2} times as long as {}", ours.name, theirs.name);
        }
    }
}

impl Row {
    /// Returns the median over the rounds of a step's time.
    fn seconds(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.seconds_median).collect())
    }
}
