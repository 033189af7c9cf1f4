//! Counters and histograms, as Prometheus reads them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, process};

/// The upper ends of the buckets of durations, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// The upper ends of the buckets of batches, in images.
const IMAGES: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// The numbers of a server since its start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    families: Mutex<Families>,
    in_flight: AtomicI64,
    connections: AtomicI64,
    pixels: AtomicU64,
}

#[derive(Debug, Default)]
struct Families {
    /// By route, method and status.
    requests: BTreeMap<(String, String, u16), u64>,
    /// By route.
    durations: BTreeMap<String, Histogram>,
    stages: BTreeMap<&'static str, Histogram>,
    batches: BTreeMap<String, Histogram>,
    refusals: BTreeMap<&'static str, u64>,
    reloads: BTreeMap<(String, bool), u64>,
}

#[derive(Clone, Debug)]
struct Histogram {
    ends: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Histogram {
    fn new(ends: &'static [f64]) -> Self {
        Self { ends, counts: vec![0; ends.len()], sum: 0.0, count: 0 }
    }

    fn add(&mut self, value: f64) {
        for (count, end) in self.counts.iter_mut().zip(self.ends) {
            *count += u64::from(value <= *end);
        }
        self.sum += value;
        self.count += 1;
    }

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (end, count) in self.ends.iter().zip(&self.counts) {
            let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{end}\"}} {count}");
        }
        let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {}", self.sum, self.count);
    }
}

/// A request or connection that counts as long as this is alive.
pub(crate) struct Counted<'a>(&'a AtomicI64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    fn families(&self) -> MutexGuard<'_, Families> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an answer.
    pub(crate) fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        let mut families = self.families();
        *families.requests.entry((route.to_owned(), method.to_owned(), status)).or_default() += 1;
        let durations = families.durations.entry(route.to_owned()).or_insert_with(|| Histogram::new(&SECONDS));
        durations.add(took.as_secs_f64());
    }

    /// Adds the time of a stage of one request.
    pub(crate) fn stage(&self, stage: &'static str, took: Duration) {
        let mut families = self.families();
        families.stages.entry(stage).or_insert_with(|| Histogram::new(&SECONDS)).add(took.as_secs_f64());
    }

    /// Counts a batch of so many images.
    pub(crate) fn batch(&self, model: &str, images: usize) {
        let mut families = self.families();
        let batches = families.batches.entry(model.to_owned()).or_insert_with(|| Histogram::new(&IMAGES));
        batches.add(images as f64);
    }

    /// Counts a request that is refused for a limit.
    pub(crate) fn refusal(&self, limit: &'static str) {
        *self.families().refusals.entry(limit).or_default() += 1;
    }

    /// Counts an attempt to open a model's file again.
    pub(crate) fn reload(&self, model: &str, is_done: bool) {
        *self.families().reloads.entry((model.to_owned(), is_done)).or_default() += 1;
    }

    /// Adds the pixels of a segmented image.
    pub(crate) fn segmented(&self, pixels: u64) {
        self.pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Counts a request as long as the result is alive.
    pub(crate) fn in_flight(&self) -> Counted<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Counted(&self.in_flight)
    }

    /// Counts a connection as long as the result is alive.
    pub(crate) fn connection(&self) -> Counted<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(&self.connections)
    }

    /// Writes everything as Prometheus's text format; `models` are name, version, provider and the
    /// number of jobs that wait.
    pub(crate) fn text(&self, models: &[(String, u64, String, usize)]) -> String {
        let mut text = String::new();
        let families = self.families();
        let mut family = |name: &str, kind: &str, help: &str, rows: &mut dyn FnMut(&mut String)| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            rows(&mut text);
        };
        family("seg_requests_total", "counter", "Answers by route, method and status.", &mut |text| {
            for ((route, method, status), count) in &families.requests {
                let (route, method) = (label(route), label(method));
                let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
                let _ = writeln!(text, "seg_requests_total{{{labels}}} {count}");
            }
        });
        family("seg_request_seconds", "histogram", "Time from a request's head to its answer.", &mut |text| {
            for (route, durations) in &families.durations {
                durations.write(text, "seg_request_seconds", &format!("route=\"{}\"", label(route)));
            }
        });
        family("seg_stage_seconds", "histogram", "Time of the stages of a request.", &mut |text| {
            for (stage, durations) in &families.stages {
                durations.write(text, "seg_stage_seconds", &format!("stage=\"{stage}\""));
            }
        });
        family("seg_batch_images", "histogram", "Images that a network ran at once.", &mut |text| {
            for (model, batches) in &families.batches {
                batches.write(text, "seg_batch_images", &format!("model=\"{}\"", label(model)));
            }
        });
        family("seg_refusals_total", "counter", "Requests that were refused for a limit.", &mut |text| {
            for (limit, count) in &families.refusals {
                let _ = writeln!(text, "seg_refusals_total{{limit=\"{limit}\"}} {count}");
            }
        });
        family("seg_reloads_total", "counter", "Files of models that were opened again.", &mut |text| {
            for ((model, is_done), count) in &families.reloads {
                let result = if *is_done { "done" } else { "failed" };
                let _ = writeln!(text, "seg_reloads_total{{model=\"{}\",result=\"{result}\"}} {count}", label(model));
            }
        });
        family("seg_segmented_pixels_total", "counter", "Pixels of images that were segmented.", &mut |text| {
            let _ = writeln!(text, "seg_segmented_pixels_total {}", self.pixels.load(Ordering::Relaxed));
        });
        family("seg_requests_in_flight", "gauge", "Requests that are not answered yet.", &mut |text| {
            let _ = writeln!(text, "seg_requests_in_flight {}", self.in_flight.load(Ordering::Relaxed));
        });
        family("seg_connections", "gauge", "Open connections.", &mut |text| {
            let _ = writeln!(text, "seg_connections {}", self.connections.load(Ordering::Relaxed));
        });
        family("seg_model_waiting", "gauge", "Jobs that wait for a lane of a model.", &mut |text| {
            for (name, version, _, waiting) in models {
                let labels = format!("model=\"{}\",version=\"{version}\"", label(name));
                let _ = writeln!(text, "seg_model_waiting{{{labels}}} {waiting}");
            }
        });
        family(
            "seg_model_info",
            "gauge",
            "Models that are served, with the provider that computes them.",
            &mut |text| {
                for (name, version, provider, _) in models {
                    let (name, provider) = (label(name), label(provider));
                    let labels = format!("model=\"{name}\",version=\"{version}\",provider=\"{provider}\"");
                    let _ = writeln!(text, "seg_model_info{{{labels}}} 1");
                }
            },
        );
        if let Some((cpu_seconds, resident_bytes)) = process_numbers() {
            family("process_cpu_seconds_total", "counter", "Processor time of this process.", &mut |text| {
                let _ = writeln!(text, "process_cpu_seconds_total {cpu_seconds}");
            });
            family("process_resident_memory_bytes", "gauge", "Memory of this process.", &mut |text| {
                let _ = writeln!(text, "process_resident_memory_bytes {resident_bytes}");
            });
        }
        text
    }
}

/// Escapes the value of a label.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Returns the processor time in seconds and the resident memory in bytes, where the system tells.
fn process_numbers() -> Option<(f64, u64)> {
    /// The clock of `/proc` on Linux, in ticks a second.
    const TICKS: f64 = 100.0;
    let folder = format!("/proc/{}", process::id());
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    // The name of the program stands in brackets and may hold spaces.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = fs::read_to_string(format!("{folder}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.split_whitespace().next()?.parse().ok()?;
    Some((ticks / TICKS, kibibytes * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_labels_and_counts_add_up() {
        let metrics = Metrics::default();
        metrics.request("/v2/models/{model}/infer", "POST", 200, Duration::from_millis(3));
        metrics.request("/v2/models/{model}/infer", "POST", 200, Duration::from_secs(60));
        metrics.batch("a\"b\\c\nd", 2);
        let text = metrics.text(&[("a\"b".into(), 1, "cpu".into(), 3)]);
        for part in [
            "seg_requests_total{route=\"/v2/models/{model}/infer\",method=\"POST\",status=\"200\"} 2\n",
            "seg_request_seconds_bucket{route=\"/v2/models/{model}/infer\",le=\"0.005\"} 1\n",
            "seg_request_seconds_bucket{route=\"/v2/models/{model}/infer\",le=\"+Inf\"} 2\n",
            "seg_batch_images_count{model=\"a\\\"b\\\\c\\nd\"} 1\n",
            "seg_model_waiting{model=\"a\\\"b\",version=\"1\"} 3\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let held = metrics.in_flight();
        assert!(metrics.text(&[]).contains("seg_requests_in_flight 1\n"));
        drop(held);
        assert!(metrics.text(&[]).contains("seg_requests_in_flight 0\n"));
    }
}
