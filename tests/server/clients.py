"""Real clients of the server: tritonclient, kserve and requests; TLS and signed certificates by openssl's keys."""

import asyncio
import gzip
import io
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import requests
import tritonclient.http as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from served import BIN, IMAGES, MODEL, ROOT, check, end, infer, server

MEAN = np.array([0.18990512, 0.16768844, 0.21497212], np.float32)
STD = np.array([0.2756703, 0.24874668, 0.31545484], np.float32)


def tensor(path):
    """Returns an image as the model takes it, by NumPy alone."""
    image = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
    return ((image - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)


def message_of(call):
    """Returns the message of a client's error."""
    try:
        call()
    except InferenceServerException as error:
        return error.message()
    return "no error"


def of_triton(running):
    client = triton.InferenceServerClient(running.host, concurrency=4)
    check("tritonclient: live, ready", client.is_server_live() and client.is_server_ready() and client.is_model_ready("nuclei"))
    check("tritonclient: a version is ready, another is not", client.is_model_ready("nuclei", "1") and not client.is_model_ready("nuclei", "2"))
    check("tritonclient: server metadata", "binary_tensor_data" in client.get_server_metadata()["extensions"])
    metadata = client.get_model_metadata("nuclei")
    check("tritonclient: model metadata", metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3, -1, -1]}], metadata["inputs"])
    check("tritonclient: config", client.get_model_config("nuclei")["name"] == "nuclei")
    check("tritonclient: index", [model["name"] for model in client.get_model_repository_index()] == ["nuclei"])

    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    one = tensor(IMAGES[0])
    same = [path for path in IMAGES if Image.open(path).size == Image.open(IMAGES[0]).size]
    eight = np.concatenate([tensor(path) for path in (same * 8)[:8]])
    for name, batch in [("1 image", one), ("8 images", eight)]:
        expected = session.run(None, {"input": batch})[0]
        for binary_in in [True, False]:
            for binary_out in [True, False]:
                tensor_in = triton.InferInput("input", batch.shape, "FP32")
                tensor_in.set_data_from_numpy(batch, binary_data=binary_in)
                asked = [triton.InferRequestedOutput("logits", binary_data=binary_out)]
                answer = client.infer("nuclei", [tensor_in], outputs=asked, request_id="r-1")
                found = answer.as_numpy("logits")
                worst = float(np.abs(found - expected).max())
                masks = bool((found.argmax(1) == expected.argmax(1)).all())
                check(f"tritonclient: {name}, binary {binary_in}, {binary_out}", worst < 2e-5 * np.abs(expected).max() and masks, f"{worst:.1e}")
    check("tritonclient: the request's identity", answer.get_response()["id"] == "r-1")
    for algorithm in ["gzip", "deflate"]:
        tensor_in = triton.InferInput("input", one.shape, "FP32").set_data_from_numpy(one)
        answer = client.infer("nuclei", [tensor_in], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm)
        check(f"tritonclient: {algorithm}", answer.as_numpy("logits").shape == (1, 2, *one.shape[2:]))
    tensor_in = triton.InferInput("input", one.shape, "FP32").set_data_from_numpy(one)
    many = [client.async_infer("nuclei", [tensor_in]) for _ in range(8)]
    check("tritonclient: 8 at once", all(request.get_result().as_numpy("logits").shape[0] == 1 for request in many))

    def refused(shape=(1, 3, 32, 32), datatype="FP32", kind=np.float32, name="input", model="nuclei", version="", output=None):
        values = triton.InferInput(name, shape, datatype).set_data_from_numpy(np.zeros(shape, kind))
        outputs = [triton.InferRequestedOutput(output)] if output else None
        return message_of(lambda: client.infer(model, [values], model_version=version, outputs=outputs))

    for name, part, found in [
        ("rank", "expected [-1, 3, -1, -1]", refused(shape=(3, 32, 32))),
        ("channels", "expected [-1, 3, -1, -1]", refused(shape=(1, 4, 32, 32))),
        ("too small", "16", refused(shape=(1, 3, 4, 4))),
        ("datatype", "expected FP32", refused(datatype="UINT8", kind=np.uint8)),
        ("half precision", "expected FP32", refused(datatype="FP16", kind=np.float16)),
        ("input", "no input `x`; it has `input`", refused(name="x")),
        ("model", "no model `x`; there is `nuclei`", refused(model="x")),
        ("version", "has no version `7`", refused(version="7")),
        ("output", "no output `x`; it has `logits`", refused(output="x")),
    ]:
        check(f"tritonclient: another {name} is refused by name", part in found, found)
    nan = one.copy()
    nan[0, 0, 0, 0] = np.nan
    tensor_in = triton.InferInput("input", nan.shape, "FP32").set_data_from_numpy(nan, binary_data=False)
    found = message_of(lambda: client.infer("nuclei", [tensor_in]))
    check("tritonclient: NaN in JSON is refused with the place", "line 1 column" in found and "binary" in found, found)
    client.close()


async def of_kserve(running):
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    base = running.address
    check("kserve: live, ready", await client.is_server_live(base) and await client.is_server_ready(base) and await client.is_model_ready(base, "nuclei"))
    one = tensor(IMAGES[0])
    for binary in [True, False]:
        values = InferInput("input", list(one.shape), "FP32")
        values.set_data_from_numpy(one, binary_data=binary)
        answer = await client.infer(base, InferRequest("nuclei", [values]), model_name="nuclei")
        found = answer.outputs[0].as_numpy()
        check(f"kserve: infer, binary {binary}", found.reshape(answer.outputs[0].shape).shape == (1, 2, *one.shape[2:]))
    try:
        values = InferInput("input", [1, 3, 32], "FP32")
        values.set_data_from_numpy(np.zeros((1, 3, 32), np.float32), binary_data=False)
        await client.infer(base, InferRequest("nuclei", [values]), model_name="nuclei")
        check("kserve: a wrong shape is refused", False)
    except Exception as error:
        check("kserve: a wrong shape is refused", "shape" in str(error), str(error)[:120])
    await client.close()


def of_requests(running):
    url = f"{running.address}/v1/segment"
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"mask": "masks/{}.png", "overlay": "overlays/{}.png", "contours": "contours/{}.png", "polygons": "polygons/{}.geojson", "probabilities": "probabilities/{}.npy"}
        infer(folder, "--save", "mask,overlay,contours,polygons,probabilities-npy")
        entries = {entry["name"]: entry for entry in map(json.loads, Path(folder, "predictions.jsonl").read_text().splitlines())}
        for kind, place in kinds.items():
            equal = [
                requests.post(url, params={"output": kind, "name": path.name}, data=path.read_bytes()).content == Path(folder, place.format(path.stem)).read_bytes()
                for path in IMAGES
            ]
            check(f"requests: {kind} has the bytes of `infer`", all(equal), f"{sum(equal)} of {len(equal)}")
        records = [requests.post(url, params={"name": path.name}, headers={"Accept": "application/json"}, data=path.read_bytes()).json() for path in IMAGES]
        same = all(record[key] == entries[record["name"]][key] for record in records for key in ["area", "input_sha256", "width", "height", "network"])
        check("requests: the record says what that of `infer` says", same)
        check("requests: the record holds no path of the machine", not any(str(Path.cwd().anchor + part) in json.dumps(records) for part in ["work", "home", "root", "tmp"]))
    image = IMAGES[0].read_bytes()
    rows = [
        ("GeoJSON by Accept", {}, {"Accept": "application/geo+json"}, image, 200, "application/geo+json"),
        ("several outputs", {"output": "record,mask,rle"}, {}, image, 200, "multipart/form-data"),
        ("compressed", {}, {"Content-Encoding": "gzip"}, gzip.compress(image), 200, "image/png"),
        ("a threshold", {"threshold": "0.3"}, {}, image, 200, "image/png"),
        ("text", {}, {}, b"no image", 415, None),
        ("nothing", {}, {}, b"", 415, None),
        ("cut off", {}, {}, image[: len(image) // 2], 400, None),
        ("an unknown output", {"output": "x"}, {}, image, 400, None),
        ("an unknown wish", {"tresh": "1"}, {}, image, 400, None),
        ("a threshold beyond 1", {"threshold": "2"}, {}, image, 400, None),
        ("an unknown model", {"model": "x"}, {}, image, 404, None),
        ("a type that is not there", {}, {"Accept": "text/html"}, image, 406, None),
        ("an unknown encoding", {}, {"Content-Encoding": "br"}, image, 415, None),
        ("no gzip", {}, {"Content-Encoding": "gzip"}, image, 400, None),
        ("another site's page", {}, {"Origin": "https://evil.example"}, image, 403, None),
        ("a name of another site", {}, {"Host": "evil.example"}, image, 421, None),
    ]
    for name, params, headers, body, status, kind in rows:
        answer = requests.post(url, params=params, headers=headers, data=body)
        holds = answer.status_code == status and (kind is None or answer.headers["Content-Type"].startswith(kind))
        if status >= 400:
            holds = holds and list(answer.json()) == ["error"] and "/" + "work" not in answer.text
        check(f"requests: {name}: {status}", holds, answer.status_code if status < 400 else answer.text[:140])
    bomb = gzip.compress(bytes(200 << 20))
    check("requests: a body that grows beyond the limit: 413", requests.post(url, headers={"Content-Encoding": "gzip"}, data=bomb).status_code == 413)
    large = io.BytesIO()
    Image.new("L", (9000, 8000)).save(large, "png")
    answer = requests.post(url, data=large.getvalue())
    check("requests: an image of too many pixels: 413", answer.status_code == 413, answer.text[:140])
    answer = requests.get(f"{running.address}/nowhere")
    check("requests: an unknown address: 404 in JSON", answer.status_code == 404 and "error" in answer.json())
    check("requests: another method: 405 in JSON", requests.get(url).status_code == 405 and "error" in requests.get(url).json())
    text = requests.get(f"{running.address}/metrics").text
    check("requests: metrics", 'seg_requests_total{route="/v1/segment"' in text and "seg_stage_seconds_bucket" in text)
    answer = requests.get(f"{running.address}/v2", headers={"X-Request-Id": "abc-1"})
    check("requests: the request's identity is kept", answer.headers["x-request-id"] == "abc-1")
    check("requests: no page elsewhere reads answers", "access-control-allow-origin" not in answer.headers)


def of_tokens():
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder, "token")
        token.write_text("0123456789abcdef0123456789abcdef\n")
        with server("--token-file", token, "--cors-origin", "https://lab.example") as running:
            url = f"{running.address}/v1/models"
            good = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef"}
            check("token: none: 401", requests.get(url).status_code == 401)
            check("token: a wrong one: 401", requests.get(url, headers={"Authorization": "Bearer 0123456789abcdef0123456789abcdeF"}).status_code == 401)
            check("token: the right one", requests.get(url, headers=good).status_code == 200)
            check("token: health needs none", requests.get(f"{running.address}/v2/health/ready").status_code == 200)
            origin = requests.get(url, headers=good | {"Origin": "https://lab.example"}).headers.get("access-control-allow-origin")
            check("a listed origin may read", origin == "https://lab.example", origin)


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)


def of_tls():
    with tempfile.TemporaryDirectory() as folder:
        names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
        pair = ["-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-subj", "/CN=localhost", "-addext", names]
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *pair)
        openssl(folder, "genpkey", "-algorithm", "ed25519", "-out", "other.pem")
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        with server("--tls-certificate", certificate, "--tls-key", key) as running:
            check("TLS: the address says so", running.address.startswith("https://127.0.0.1:"), running.address)
            image = IMAGES[0].read_bytes()
            answer = requests.post(f"{running.address}/v1/segment", data=image, verify=certificate)
            infer(Path(folder, "out"), "--save", "mask")
            mask = Path(folder, "out/masks", IMAGES[0].name).read_bytes()
            check("TLS: the mask of `infer`", answer.status_code == 200 and answer.content == mask)
            try:
                requests.get(f"{running.address}/v2", timeout=20)
                check("TLS: a client that does not know the certificate refuses", False)
            except requests.exceptions.SSLError:
                check("TLS: a client that does not know the certificate refuses", True)
            try:
                status = requests.get(f"http://{running.host}/v2", timeout=20).status_code
            except requests.exceptions.ConnectionError:
                status = "the connection is closed"
            check("TLS: no answer without it", status != 200, status)
            host, port = running.host.split(":")
            for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
                context = ssl.create_default_context(cafile=certificate)
                context.minimum_version = context.maximum_version = version
                with socket.create_connection((host, port)) as plain, context.wrap_socket(plain, server_hostname=host) as client:
                    check(f"TLS: {client.version()}", client.version() in ("TLSv1.2", "TLSv1.3"))
        command = [BIN / "seg-runtime", "serve", "--model", MODEL, "--listen", "127.0.0.1:0", "--tls-certificate", certificate]
        for name, flags, part in [
            ("a key of another certificate", ["--tls-key", Path(folder, "other.pem")], "cannot use the certificate"),
            ("a key that is none", ["--tls-key", MODEL], "as a private key in PEM"),
            ("no key", [], "--tls-key"),
        ]:
            ended = subprocess.run(command + flags, capture_output=True, text=True, timeout=60)
            check(f"TLS: {name} is refused", ended.returncode != 0 and part in ended.stderr, ended.stderr.strip()[-160:])


def of_signatures():
    with tempfile.TemporaryDirectory() as folder:
        for name in ["mine", "other"]:
            openssl(folder, "genpkey", "-algorithm", "ed25519", "-out", f"{name}.pem")
            openssl(folder, "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub")
        model = Path(shutil.copy(MODEL, folder))
        shutil.copy(ROOT / "models/nuclei.reference.onnx", folder)
        command = [BIN / "seg-runtime", "verify", model, "--sign", Path(folder, "mine.pem")]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        check("a certificate is signed", ended.returncode == 0, ended.stderr[-200:] if ended.returncode else "")
        mine, other = Path(folder, "mine.pub"), Path(folder, "other.pub")
        with server("--require-certificate", "--public-key", mine, model=f"nuclei={model}") as running:
            answer = requests.post(f"{running.address}/v1/segment", data=IMAGES[0].read_bytes())
            check("a model with a signed certificate is served", answer.status_code == 200, answer.status_code)
        command = [BIN / "seg-runtime", "serve", "--model", model, "--listen", "127.0.0.1:0", "--require-certificate", "--public-key"]
        ended = subprocess.run([*command, other], capture_output=True, text=True, timeout=60)
        check("a certificate that another key signed is refused", ended.returncode == 1, ended.stderr.strip()[-160:])


def main():
    with server() as running:
        of_triton(running)
        asyncio.run(of_kserve(running))
        of_requests(running)
    of_tokens()
    of_tls()
    of_signatures()
    end()


main()
