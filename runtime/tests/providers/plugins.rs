//! Plug-in providers that the user names: stubs that the C compiler makes here, and OpenVINO's.

use std::fs;
use std::mem::offset_of;
use std::process::Command;

use ort::sys::OrtApi;
use seg_inference::library::{Build, Plugin, Search};
use serde_json::Value;

use super::{Place, onnx_runtime, text};

/// The documentation of errors; the rows of its table are the rows of this test.
const MANUAL: &str = include_str!("../../../docs/providers.md");

/// A plug-in as the C interface asks for it. It offers the processor as its device, unless `OFFERS`
/// is 0; it opens it, unless `OPENS` is 0; and it takes no node.
const STUB: &str = r#"
#include <stddef.h>
#include <stdint.h>
typedef void *(*Function)();
static const Function *ort;
static const Function *own;
static void *status(const char *text) { return ort[CreateStatus](1, text); }
struct Table { uint32_t version; Function functions[64]; };
static struct Table factory, provider;
static void *nothing(void) { return 0; }
static void *name(void) { return "StubExecutionProvider"; }
static void *version(void) { return "1.0.0"; }
static void *devices(void *self, void **hardware, size_t count, void **out, size_t max, size_t *found) {
    *found = 0;
    for (size_t index = 0; OFFERS && index < count && *found < max; index++)
        if (((int (*)(void *))ort[HardwareDevice_Type])(hardware[index]) == 0)
            return own[0](self, hardware[index], (void *)0, (void *)0, &out[(*found)++]);
    return 0;
}
static void *create(void *self, void *a, void *b, size_t c, void *d, void *e, void **out) {
    if (!OPENS) return status("the stub's device is busy");
    provider.version = 22;
    for (int slot = 0; slot < 64; slot++) provider.functions[slot] = nothing;
    provider.functions[0] = name;
    *out = &provider;
    return 0;
}
void *CreateEpFactories(const char *registered, const Function *base, void *logger, void **out, size_t max, size_t *count) {
    ort = (const Function *)base[0](22);
    if (TOO_NEW) return status("the stub needs ONNX Runtime 1.99");
    own = (const Function *)ort[GetEpApi]();
    factory.version = 22;
    for (int slot = 0; slot < 64; slot++) factory.functions[slot] = nothing;
    factory.functions[0] = factory.functions[1] = name;
    factory.functions[2] = devices;
    factory.functions[3] = create;
    factory.functions[6] = version;
    *out = &factory;
    *count = 1;
    return 0;
}
void *ReleaseEpFactory(void *factory) { return 0; }"#;

const FLAGS: &str = "--ep-library libstub.so --ep-name StubExecutionProvider";

impl Place {
    /// Compiles the stub, or another source, with the given definitions.
    fn stub(&self, source: &str, definitions: &str) {
        macro_rules! slots {
            ($($function:ident)*) => {
                [$(format!("-D{}={}", stringify!($function), offset_of!(OrtApi, $function) / size_of::<usize>())),*]
            };
        }
        fs::write(self.path("stub.c"), source).unwrap();
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-w", "-o", "libstub.so", "stub.c"]).current_dir(self.0.path());
        command.args(slots!(CreateStatus GetEpApi HardwareDevice_Type)).args(definitions.split_whitespace());
        assert!(command.status().expect("a C compiler is on the path").success());
    }
}

/// The stub that offers a device, opens it, and takes nothing.
const IDLE: &str = "-DOFFERS=1 -DOPENS=1 -DTOO_NEW=0";

#[test]
fn each_plug_in_that_cannot_be_used_is_named_with_its_remedy() {
    let library = onnx_runtime(Build::Cpu);
    for (name, source, definitions, flags, part, remedy) in [
        (
            "a library that is no plug-in",
            "int nothing;",
            "",
            FLAGS,
            "libstub.so: undefined symbol: CreateEpFactories",
            "name another file by `--ep-library`, or choose `--ep cpu`",
        ),
        (
            "a plug-in for a newer ONNX Runtime",
            STUB,
            "-DOFFERS=0 -DOPENS=0 -DTOO_NEW=1",
            FLAGS,
            "libstub.so: the stub needs ONNX Runtime 1.99",
            "name another file by `--ep-library`, or choose `--ep cpu`",
        ),
        (
            "a plug-in without a device",
            STUB,
            "-DOFFERS=0 -DOPENS=0 -DTOO_NEW=0",
            FLAGS,
            "`libstub.so` offers no device of StubExecutionProvider here",
            "its hardware or its driver is missing; ask the plug-in's maker what it needs, or choose `--ep cpu`",
        ),
        (
            "a plug-in of another name",
            STUB,
            IDLE,
            "--ep-library libstub.so --ep-name OtherExecutionProvider",
            "`libstub.so` offers no device of OtherExecutionProvider here, only of `StubExecutionProvider`",
            "name one of these by `--ep-name` or choose `--ep cpu`",
        ),
        (
            "a plug-in with fewer devices",
            STUB,
            IDLE,
            "--ep-library libstub.so --ep-name StubExecutionProvider --device-id 5",
            "the plug-in has no device 5: it offers 1, counted from 0",
            "choose another `--device-id`",
        ),
        (
            "a plug-in whose device cannot be opened",
            STUB,
            "-DOFFERS=1 -DOPENS=0 -DTOO_NEW=0",
            FLAGS,
            "the plug-in offers a device and cannot open it: the stub's device is busy",
            "choose another `--device-id` or `--ep cpu`",
        ),
        (
            "a plug-in that takes no nodes",
            STUB,
            IDLE,
            FLAGS,
            "3 of 7 nodes went to CPUExecutionProvider, the first is Conv `red`",
            "choose `--ep cpu` or allow it by `--allow-fallback`",
        ),
    ] {
        let place = Place::new();
        place.stub(source, definitions);
        let output = place.run(&library, &format!("infer --model threshold.onnx --out out {flags} a.png"));
        let said = text(&output.stderr).replace(&format!("{}/", place.0.path().display()), "");
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{name}: {said}");
        assert!(said.ends_with(&format!("{part}; {remedy}\n")), "{name}: {said}");
        assert!(!place.path("out").exists(), "{name}");
        let row = format!("| {name} | {part} | {remedy} |");
        assert!(MANUAL.lines().any(|line| line == row), "the manual has no row `{row}`");
    }
}

#[test]
fn a_plug_in_is_known_to_the_record_to_the_placement_and_to_doctor() {
    let (place, library) = (Place::new(), onnx_runtime(Build::Cpu));
    place.stub(STUB, IDLE);
    let flags = format!("{FLAGS} --ep-option level=3 --allow-fallback");
    let output = place.run(&library, &format!("infer --model threshold.onnx --out out {flags} a.png"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("CPUExecutionProvider computes 2 Conv instead of the plug-in"), "{output:?}");
    let record: Value = serde_json::from_str(place.read("out/predictions.jsonl").lines().next().unwrap()).unwrap();
    let runs_on = &record["runs_on"];
    assert_eq!((&runs_on["provider"], &runs_on["device"]), (&"plugin".into(), &"StubExecutionProvider".into()));
    let hash = seg_contract::sha256(fs::read(place.path("libstub.so")).unwrap());
    assert_eq!(runs_on["plugin"], format!("libstub.so, SHA-256 {hash}, level=3"), "{runs_on}");
    assert!(!runs_on["elsewhere"].as_array().unwrap().is_empty(), "{runs_on}");

    let output = place.run(&library, &format!("inspect threshold.onnx --placement {flags}"));
    assert!(text(&output.stdout).contains("CPUExecutionProvider  7: Concat 1, Conv 2, "), "{output:?}");

    let output = place.run(&library, &format!("doctor --json {FLAGS}"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tried = report["providers"].as_array().unwrap().iter().find(|tried| tried["provider"] == "plugin").unwrap();
    assert_eq!((&tried["works"], &tried["library"]), (&false.into(), &"libstub.so".into()), "{tried}");
    assert!(tried["error"].as_str().unwrap().contains("nodes went to CPUExecutionProvider"), "{tried}");
    // Without one, there is no row for it.
    let output = place.run(&library, "doctor --json");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["providers"].as_array().unwrap().iter().all(|tried| tried["provider"] != "plugin"));
}

#[test]
fn flags_of_a_plug_in_belong_to_it() {
    let (place, library) = (Place::new(), onnx_runtime(Build::Cpu));
    place.stub(STUB, IDLE);
    for (flags, said) in [
        ("--ep plugin", "the plug-in has no `--ep-library`, which says where it is; name its library"),
        ("--ep webgpu --ep-library libstub.so --ep-name S", "WebGPU has no `--ep-library`"),
        ("--ep-library absent.so --ep-name S", "cannot read the plug-in `absent.so`: No such file"),
    ] {
        let output = place.run(&library, &format!("infer --model threshold.onnx --out out a.png {flags}"));
        assert_eq!(output.status.code(), Some(1), "{flags}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{flags}: {}", text(&output.stderr));
    }
    let output = place.run(&library, &format!("bench threshold.onnx --ep cpu {FLAGS}"));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let args = format!("bench threshold.onnx --ep cpu,plugin {FLAGS} --warm-up 1 --runs 1 --size 16x16 --json");
    let rows: Value = serde_json::from_slice(&place.run(&library, &args).stdout).unwrap();
    assert!(rows[0]["error"].is_null() && rows[1]["error"].as_str().unwrap().contains("nodes went to"), "{rows}");
}

#[test]
fn webgpu_without_an_adapter_is_an_error_with_the_remedy() {
    let place = Place::new();
    let plugin = Search::from_env(None, Build::Cpu).fetch_plugin(Plugin::WebGpu).unwrap();
    // The folder of the wheel in the cache, which the cache of this place shares.
    let wheel = plugin.ancestors().nth(2).unwrap();
    fs::create_dir(place.path("cache")).unwrap();
    std::os::unix::fs::symlink(wheel, place.path("cache").join(wheel.file_name().unwrap())).unwrap();
    let mut command =
        place.command(&onnx_runtime(Build::Cpu), "infer --model threshold.onnx --out out --ep webgpu a.png");
    // A device is offered, and no driver of Vulkan is there to open it.
    command.env("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1").env("VK_DRIVER_FILES", "/absent.json");
    let output = command.env("VK_ICD_FILENAMES", "/absent.json").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (part, remedy) = (
        "WebGPU offers no device here: there is no GPU that it can use",
        "install its driver and Vulkan (`vulkaninfo` lists what there is); or choose `--ep cpu`",
    );
    assert!(text(&output.stderr).ends_with(&format!("{part}; {remedy}\n")), "{}", text(&output.stderr));
    let row = format!("| a GPU for WebGPU that cannot be opened, or none | {part} | {remedy} |");
    assert!(MANUAL.lines().any(|line| line == row), "the manual has no row `{row}`");
}

#[test]
fn openvino_s_plug_in_computes_on_intel_s_processors_and_says_so_on_others() {
    let place = Place::new();
    let plugin = Search::from_env(None, Build::Cpu).fetch_plugin(Plugin::OpenVino).unwrap();
    let flags = format!("--ep-library {} --ep-name OpenVINOExecutionProvider", plugin.display());
    let args = format!("infer --model threshold.onnx --out out a.png {flags}");
    let output = place.run(&onnx_runtime(Build::Cpu), &args);
    if fs::read_to_string("/proc/cpuinfo").unwrap().contains("GenuineIntel") {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        return;
    }
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(
            "offers no device of OpenVINOExecutionProvider here; OpenVINO's plug-in takes Intel's processors, GPUs and NPUs \
             alone; on others, choose `--ep openvino` without `--ep-library`"
        ),
        "{said}"
    );
}
