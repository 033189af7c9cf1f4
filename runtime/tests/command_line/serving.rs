//! The server: what it answers, what it refuses, and what it leaves behind.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use seg_contract::OutputKind;
use serde_json::{Value, json};

use crate::pictures::volume;
use crate::{Ended, Workplace, threshold};

/// A running server.
pub(crate) struct Served {
    process: Child,
    address: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Served {
    pub(crate) fn start(place: &Workplace, flags: &str) -> Self {
        let args = format!("serve --listen 127.0.0.1:0 --log json {flags}");
        let mut process = place
            .command(args.split_whitespace())
            .env("TMPDIR", place.path("."))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (mut address, mut log) = (String::new(), String::new());
        for line in lines.by_ref() {
            let line = line.unwrap();
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            match event["message"].as_str() {
                Some("listening") => address = event["address"].as_str().unwrap().trim_start_matches("http://").into(),
                Some("ready") => break,
                _ => {}
            }
            log += &format!("{line}\n");
        }
        // The server must never wait for a reader of its log.
        std::thread::spawn(move || lines.for_each(drop));
        assert!(!address.is_empty(), "{log}");
        Self { process, address }
    }

    /// Sends a request; `head` holds further lines.
    pub(crate) fn ask(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = if head.contains("Host:") { "" } else { "Host: localhost\r\n" };
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{head}\r\n")
            .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }
}

#[test]
fn served_results_have_the_bytes_of_infer() {
    let place = Workplace::new();
    place.image("a.png", 40, 30);
    place.image("b.tif", 61, 47);
    let ended = place.run("infer --model threshold.onnx --out out --save mask,overlay,contours,polygons,rle,probabilities-npy a.png b.tif");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let server = Served::start(&place, "--model threshold.onnx");
    for (image, name) in [("a.png", "a"), ("b.tif", "b")] {
        let content = fs::read(place.path(image)).unwrap();
        for (output, file) in [
            ("mask", "masks/NAME.png"),
            ("overlay", "overlays/NAME.png"),
            ("contours", "contours/NAME.png"),
            ("polygons", "polygons/NAME.geojson"),
            ("rle", "rle/NAME.json"),
            ("probabilities", "probabilities/NAME.npy"),
        ] {
            let answer = server.ask("POST", &format!("/v1/segment?output={output}&name={image}"), "", &content);
            assert_eq!(answer.status, 200, "{image} {output}: {answer:?}");
            let expected = fs::read(place.path(format!("out/{}", file.replace("NAME", name)))).unwrap();
            assert!(answer.body == expected, "{image} {output}: other bytes");
        }
        let record =
            server.ask("POST", &format!("/v1/segment?name={image}"), "Accept: application/json\r\n", &content).json();
        let lines = place.json_lines("out/predictions.jsonl");
        let line = lines.iter().find(|line| line["name"] == name).unwrap();
        for key in ["area", "width", "height", "orientation", "network", "input_bytes", "input_sha256", "runs_on"] {
            assert_eq!(record[key], line[key], "{image}: {key}");
        }
        let text = record.to_string();
        assert!(!text.contains(&place.path("").display().to_string()), "a path of the machine: {text}");
    }
}

/// Returns a DICOM file of 20x16 pixels of red, green and blue, of which five columns are red, with
/// pixels of 0.25x0.5 mm.
fn dicom() -> Vec<u8> {
    let element = |tag: [u16; 2], vr: &str, value: &[u8]| {
        let mut bytes = [tag[0].to_le_bytes(), tag[1].to_le_bytes()].concat();
        bytes.extend(vr.as_bytes());
        match vr {
            "OB" | "OW" => bytes.extend([&[0, 0], (value.len() as u32).to_le_bytes().as_slice()].concat()),
            _ => bytes.extend((value.len() as u16).to_le_bytes()),
        }
        bytes.extend(value);
        bytes
    };
    let word = |value: u16| value.to_le_bytes();
    let meta = [
        element([2, 2], "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        element([2, 3], "UI", b"1.2.3.4\0"),
        element([2, 0x10], "UI", b"1.2.840.10008.1.2.1\0"),
        element([2, 0x12], "UI", b"1.2.3\0"),
    ]
    .concat();
    let pixels: Vec<u8> = (0..20 * 16).flat_map(|place| [if place % 20 < 5 { 200 } else { 20 }, 90, 90]).collect();
    let data = [
        element([8, 0x16], "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        element([8, 0x18], "UI", b"1.2.3.4\0"),
        element([0x20, 0xe], "UI", b"1.2.3.5\0"),
        element([0x28, 2], "US", &word(3)),
        element([0x28, 4], "CS", b"RGB "),
        element([0x28, 6], "US", &word(0)),
        element([0x28, 0x10], "US", &word(16)),
        element([0x28, 0x11], "US", &word(20)),
        element([0x28, 0x30], "DS", b"0.25\\0.5 "),
        element([0x28, 0x100], "US", &word(8)),
        element([0x28, 0x101], "US", &word(8)),
        element([0x28, 0x102], "US", &word(7)),
        element([0x28, 0x103], "US", &word(0)),
        element([0x7fe0, 0x10], "OB", &pixels),
    ]
    .concat();
    let length = element([2, 0], "UL", &(meta.len() as u32).to_le_bytes());
    [vec![0; 128], b"DICM".to_vec(), length, meta, data].concat()
}

#[test]
fn medical_images_are_segmented_from_memory_alone() {
    let place = Workplace::new();
    fs::write(place.path("a.dcm"), dicom()).unwrap();
    fs::write(place.path("b.nii"), volume(1)).unwrap();
    let ended = place.run("infer --model threshold.onnx --out out a.dcm b.nii");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // Files of these names are on the server's disk, and are other images.
    for name in ["a", "b", "a.dcm", "b.nii"] {
        fs::write(place.path(name), volume(2)).unwrap();
    }
    let server = Served::start(&place, "--model threshold.onnx");
    for (name, content) in [("a.dcm", dicom()), ("b.nii", volume(1))] {
        let answer = server.ask("POST", &format!("/v1/segment?output=mask&name={name}"), "", &content);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let expected = fs::read(place.path(format!("out/masks/{}.png", &name[..1]))).unwrap();
        assert!(answer.body == expected, "{name}: other bytes");
        let record = server.ask("POST", &format!("/v1/segment?name={name}"), "Accept: application/json\r\n", &content);
        assert_eq!(record.json()["area"][1]["mm2"], json!(5.0 * 16.0 * 0.125), "{name}");
    }
    let several = server.ask("POST", "/v1/segment?name=b.nii", "", &volume(3));
    let message = several.json()["error"].to_string();
    assert!(
        several.status == 400 && message.contains("the NIfTI file has 3 pictures; give them one by one"),
        "{message}"
    );
}

#[test]
fn tensors_go_in_and_out_as_the_protocol_says() {
    let place = Workplace::new();
    let server = Served::start(&place, "--model red=threshold.onnx --model bytes@3=threshold.onnx");
    let metadata = server.ask("GET", "/v2/models/red", "", b"").json();
    let input = metadata["inputs"][0].clone();
    assert_eq!((&input["datatype"], &input["shape"]), (&json!("FP32"), &json!([-1, 3, -1, -1])), "{metadata}");
    assert_eq!(server.ask("GET", "/v2/models/bytes", "", b"").json()["versions"], json!(["3"]));
    let (name, output) = (input["name"].as_str().unwrap(), metadata["outputs"][0]["name"].as_str().unwrap());
    let (height, width) = (9, 8);
    let values: Vec<f32> = (0..3 * height * width).map(|value| (value % 7) as f32 / 3.0 - 1.0).collect();
    let request = |data: Value| json!({"id": "x", "inputs": [{"name": name, "shape": [1, 3, height, width], "datatype": "FP32", "data": data}]});
    let flat = server.ask("POST", "/v2/models/red/infer", "", request(json!(values)).to_string().as_bytes());
    assert_eq!(flat.status, 200, "{flat:?}");
    let flat = flat.json();
    assert_eq!((&flat["id"], &flat["model_name"], &flat["model_version"]), (&json!("x"), &json!("red"), &json!("1")));
    let nested: Vec<_> = values.chunks(height * width).map(|plane| plane.chunks(width).collect::<Vec<_>>()).collect();
    let again =
        server.ask("POST", "/v2/models/red/versions/1/infer", "", request(json!([nested])).to_string().as_bytes());
    assert_eq!(again.json()["outputs"], flat["outputs"]);
    // The same in binary, both ways.
    let head = json!({
        "inputs": [{"name": name, "shape": [1, 3, height, width], "datatype": "FP32", "parameters": {"binary_data_size": 4 * values.len()}}],
        "outputs": [{"name": output, "parameters": {"binary_data": true}}],
    });
    let head = head.to_string();
    let body: Vec<u8> = head.bytes().chain(values.iter().flat_map(|value| value.to_le_bytes())).collect();
    let length = format!("Inference-Header-Content-Length: {}\r\n", head.len());
    let answer = server.ask("POST", "/v2/models/red/infer", &length, &body);
    let own = answer.head.lines().find_map(|line| line.strip_prefix("inference-header-content-length: ")).unwrap();
    let (json, binary) = answer.body.split_at(own.parse().unwrap());
    let described: Value = serde_json::from_slice(json).unwrap();
    assert_eq!(described["outputs"][0]["parameters"]["binary_data_size"], binary.len());
    let found: Vec<f32> = binary.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let expected: Vec<f32> = serde_json::from_value(flat["outputs"][0]["data"].clone()).unwrap();
    assert_eq!(found, expected);
}

/// The name, the path, further lines of the head, the body, the status, and a part of the answer.
type Wrong<'a> = (&'a str, &'a str, &'a str, Vec<u8>, u16, &'a str);

#[test]
fn what_is_wrong_with_a_request_is_said_in_json() {
    let place = Workplace::new();
    place.image("a.png", 40, 30);
    let image = fs::read(place.path("a.png")).unwrap();
    let server = Served::start(&place, "--model red=threshold.onnx --max-body 1 --max-pixels 1");
    let infer = "/v2/models/red/infer";
    let tensor = |shape: Value, datatype: &str, data: Value| {
        json!({"inputs": [{"name": "input", "shape": shape, "datatype": datatype, "data": data}]})
            .to_string()
            .into_bytes()
    };
    let large = image::GrayImage::new(1001, 1000);
    let mut bytes = std::io::Cursor::new(Vec::new());
    large.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let rows: [Wrong<'_>; 22] = [
        ("text", "/v1/segment", "", b"text".to_vec(), 415, "as an image"),
        ("nothing", "/v1/segment", "", Vec::new(), 415, "it is an empty file"),
        ("a page", "/v1/segment", "", b"<!DOCTYPE html><html></html>".to_vec(), 415, "an HTML page"),
        ("a cut image", "/v1/segment", "", image[..image.len() / 2].to_vec(), 400, "cut off"),
        ("too many pixels", "/v1/segment", "", bytes.into_inner(), 413, "1001x1000"),
        ("a large body", "/v1/segment", "", vec![0; (1 << 20) + 1], 413, "larger than 1048576 bytes"),
        ("an unknown output", "/v1/segment?output=x", "", image.clone(), 400, "no output `x`"),
        ("an unknown wish", "/v1/segment?x=1", "", image.clone(), 400, "unknown field `x`"),
        ("a threshold", "/v1/segment?threshold=7", "", image.clone(), 400, "between 0 and 1"),
        ("an unknown model", "/v1/segment?model=x", "", image.clone(), 404, "there is `red`"),
        ("an unknown version", "/v1/segment?version=2", "", image.clone(), 404, "no version `2`"),
        ("an unacceptable type", "/v1/segment", "Accept: text/html\r\n", image.clone(), 406, "image/png"),
        ("another site", "/v1/segment", "Origin: https://evil.example\r\n", image.clone(), 403, "evil.example"),
        ("another name", "/v1/segment", "Host: evil.example\r\n", image.clone(), 421, "localhost"),
        ("no JSON", infer, "", b"{".to_vec(), 400, "line 1 column"),
        ("no number", infer, "", tensor(json!([1, 3, 8, 8]), "FP32", json!(null)), 400, ""),
        ("a shape", infer, "", tensor(json!([3, 8, 8]), "FP32", json!([])), 400, "[-1, 3, -1, -1]"),
        ("an empty shape", infer, "", tensor(json!([0, 3, 8, 8]), "FP32", json!([])), 400, "1 to"),
        (
            "a huge shape",
            infer,
            "",
            tensor(json!([1_u64 << 40, 3, 1 << 20, 1 << 20]), "FP32", json!([])),
            400,
            "values",
        ),
        ("a datatype", infer, "", tensor(json!([1, 3, 8, 8]), "FP64", json!([])), 400, "expected FP32"),
        ("too few values", infer, "", tensor(json!([1, 3, 8, 8]), "FP32", json!([1, 2])), 400, "expected 192"),
        ("a long head", infer, "Inference-Header-Content-Length: 100\r\n", b"{}".to_vec(), 400, "100 bytes"),
    ];
    for (name, path, head, body, status, part) in rows {
        let answer = server.ask("POST", path, head, &body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{name}: {text}");
        assert!(answer.head.to_ascii_lowercase().contains("content-type: application/json"), "{name}: {}", answer.head);
        assert!(answer.json()["error"].as_str().unwrap().contains(part), "{name}: {text}");
        assert!(!text.contains(&place.path("").display().to_string()), "{name}: {text}");
    }
    assert_eq!(server.ask("GET", "/nowhere", "", b"").status, 404);
    assert_eq!(server.ask("DELETE", "/v1/segment", "", b"").status, 405);
    assert_eq!(server.ask("POST", "/v1/segment", "", &image).status, 200, "the server goes on");
}

#[test]
fn an_upload_is_never_on_the_disk() {
    let place = Workplace::new();
    place.image("a.png", 40, 30);
    let image = fs::read(place.path("a.png")).unwrap();
    let server = Served::start(&place, "--model threshold.onnx");
    let files = || {
        let mut names: Vec<_> = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    let opened =
        |path: &str| fs::read_dir(path).unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).count();
    let descriptors = format!("/proc/{}/fd", server.process.id());
    let open = opened(&descriptors);
    for _ in 0..20 {
        assert_eq!(server.ask("POST", "/v1/segment?output=mask,overlay", "", &image).status, 200);
    }
    assert_eq!(files(), before);
    assert!(opened(&descriptors) <= open + 1, "files stay open");
}

#[test]
fn a_model_whose_file_changes_is_replaced_as_a_whole() {
    let place = Workplace::new();
    place.image("a.png", 40, 30);
    let image = fs::read(place.path("a.png")).unwrap();
    fs::create_dir(place.path("models")).unwrap();
    fs::copy(place.path("threshold.onnx"), place.path("models/red.onnx")).unwrap();
    let server = Served::start(&place, "--models models --reload 1");
    let sha256 = || server.ask("GET", "/v1/models", "", b"").json()["models"][0]["sha256"].clone();
    let wait = |is_done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !is_done() {
            assert!(start.elapsed() < Duration::from_secs(60), "the model is not replaced");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let first = sha256();
    // What is no model leaves the old one.
    fs::write(place.path("models/red.onnx"), "cut off").unwrap();
    let failed = || {
        let metrics = server.ask("GET", "/metrics", "", b"");
        String::from_utf8(metrics.body).unwrap().contains("seg_reloads_total{model=\"red\",result=\"failed\"} 1")
    };
    wait(&failed);
    assert_eq!(sha256(), first);
    assert_eq!(server.ask("POST", "/v1/segment", "", &image).status, 200);
    let other = threshold::write_as(place.path("").as_path(), Default::default(), OutputKind::Probabilities);
    fs::rename(other, place.path("models/red.onnx")).unwrap();
    wait(&|| sha256() != first);
    assert_eq!(server.ask("POST", "/v1/segment", "", &image).status, 200);
    fs::rename(place.path("models/red.onnx"), place.path("models/blue.onnx")).unwrap();
    wait(&|| server.ask("GET", "/v2/models/red", "", b"").status == 404);
    assert_eq!(server.ask("GET", "/v2/models/blue/ready", "", b"").status, 200);
}

#[test]
fn what_cannot_be_served_ends_the_server() {
    let place = Workplace::new();
    fs::write(place.path("text.onnx"), "text").unwrap();
    fs::write(place.path("short"), "secret").unwrap();
    fs::create_dir(place.path("empty")).unwrap();
    for (name, flags, code, part) in [
        ("no model", "--model absent.onnx", 1, "cannot read the model `absent.onnx`"),
        ("text", "--model text.onnx", 1, "cannot use `text.onnx`"),
        ("an empty folder", "--models empty", 1, "there is no model in `empty`"),
        (
            "two of a name",
            "--model a=threshold.onnx --model a=threshold.onnx",
            1,
            "would both be version 1 of the model `a`",
        ),
        ("no certificate", "--model threshold.onnx --require-certificate", 1, "has no certificate for `--ep cpu`"),
        ("an open address", "--model threshold.onnx --listen 0.0.0.0:0", 1, "lets other machines in"),
        ("a short token", "--model threshold.onnx --token-file short", 1, "expected 16 or more"),
        ("a name", "--model a/b=threshold.onnx", 1, "cannot read the model `a/b=threshold.onnx`"),
        ("no model named", "", 2, "--model"),
    ] {
        let listen = if flags.contains("--listen") { "" } else { "--listen 127.0.0.1:0" };
        let args = format!("serve {listen} {flags}");
        let ended = Ended::from_output(place.command(args.split_whitespace()).output().unwrap());
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        assert!(ended.stderr.contains(part), "{name}: {ended:?}");
    }
}
