"""A crowd before the server: its speed and memory, and clients that do not behave.

Usage: load.py [speed|memory|manners|stop]...
"""

import http.client
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image
from served import BIN, IMAGES, MODEL, ROOT, Server, check, end, server

REQUESTS = 5000
CLIENTS = 32
# The processor time for an image beside that of `infer`.
TIMES_INFER_MAX = 1.1
# The slowest of a hundred answers beside the time in which the server does what all clients have sent.
TIMES_QUEUE_MAX = 2.0
# The growth of memory that passes, from a fifth of the requests to their end.
GROWTH_MAX = 1.10


def crowd(running, requests, bodies, expected):
    """Sends requests by many clients; returns the sorted times in seconds, refusals and wrong answers."""
    times, problems, refused = [], [], [0]
    left = iter(range(requests))
    lock = threading.Lock()

    def client():
        connection = http.client.HTTPConnection(running.host, timeout=120)
        while True:
            with lock:
                index = next(left, None)
            if index is None:
                return
            body = bodies[index % len(bodies)]
            while True:
                start = time.monotonic()
                connection.request("POST", "/v1/segment", body)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != 503:
                    break
                with lock:
                    refused[0] += 1
                time.sleep(float(answer.getheader("Retry-After", "1")))
            with lock:
                times.append(time.monotonic() - start)
                if answer.status != 200 or content != expected[index % len(bodies)]:
                    problems.append((index, answer.status, content[:100]))

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(times), refused[0], problems


def answers(running):
    """Checks that the server answers."""
    connection = http.client.HTTPConnection(running.host, timeout=60)
    connection.request("POST", "/v1/segment", IMAGES[0].read_bytes())
    return connection.getresponse().status == 200


def speed():
    bodies = [path.read_bytes() for path in IMAGES]
    with tempfile.TemporaryDirectory() as folder:
        # A run on one image is what both have in common: the start, and the model's opening.
        rounds = 8
        copies = Path(folder, "images")
        copies.mkdir()
        for round in range(rounds):
            for path in IMAGES:
                (copies / f"{round}-{path.name}").write_bytes(path.read_bytes())
        def cpu(inputs, out):
            before = os.times()
            subprocess.run([BIN / "seg-runtime", "infer", "--model", MODEL, "--out", out, "--save", "mask", *inputs], check=True, capture_output=True, cwd=ROOT)
            after = os.times()
            return after.children_user + after.children_system - before.children_user - before.children_system

        one, many = cpu([IMAGES[0]], Path(folder, "one")), cpu([copies], Path(folder, "many"))
        per_image = (many - one) / (rounds * len(IMAGES) - 1)
        expected = [Path(folder, f"many/masks/0-{path.stem}.png").read_bytes() for path in IMAGES]
        with server() as running:
            crowd(running, len(IMAGES), bodies, expected)
            before = running.cpu_seconds()
            start = time.monotonic()
            count = rounds * len(IMAGES)
            times, refused, problems = crowd(running, count, bodies, expected)
            took = time.monotonic() - start
            served = (running.cpu_seconds() - before) / count
            check("every answer of 32 clients has the bytes of `infer`", problems == [], problems[:3])
            median, p99 = (1000 * times[min(count - 1, int(share * count))] for share in (0.5, 0.99))
            print(f"  {count / took:.1f} images/s; median {median:.0f} ms, p99 {p99:.0f} ms; refused {refused}")
            queue = 1000 * CLIENTS * took / count
            check("p99 beside the time of a full queue", p99 <= TIMES_QUEUE_MAX * queue, f"{p99:.0f} ms, {queue:.0f} ms: {p99 / queue:.2f}")
            check("processor time for an image beside `infer`", served <= TIMES_INFER_MAX * per_image, f"{1000 * served:.1f} ms, {1000 * per_image:.1f} ms: {served / per_image:.3f}")


def memory():
    small = []
    for index, path in enumerate(IMAGES[:4]):
        part = io.BytesIO()
        Image.open(path).crop((0, 0, 48 + 16 * index, 64)).save(part, "png")
        small.append(part.getvalue())
    with server() as running:
        connection = http.client.HTTPConnection(running.host)
        expected = []
        for body in small:
            connection.request("POST", "/v1/segment", body)
            expected.append(connection.getresponse().read())
        crowd(running, REQUESTS // 5, small, expected)
        before = running.kibibytes()
        _, _, problems = crowd(running, REQUESTS - REQUESTS // 5, small, expected)
        after = running.kibibytes()
        check(f"memory over {REQUESTS} requests", after <= GROWTH_MAX * before and problems == [], f"{before // 1024} MiB, then {after // 1024} MiB; peak {running.kibibytes('VmHWM') // 1024} MiB")


def connect(running):
    host, port = running.host.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def manners():
    with server("--timeout", "4", "--idle-timeout", "6", "--max-requests", "4") as running:
        idle = [connect(running) for _ in range(1000)]
        start = time.monotonic()
        check("1,000 idle connections hinder nobody", answers(running), f"{1000 * (time.monotonic() - start):.0f} ms, {running.kibibytes() // 1024} MiB")
        time.sleep(7)
        closed = 0
        for connection in idle:
            connection.settimeout(2)
            try:
                closed += connection.recv(1000).startswith((b"", b"HTTP/1.1 408"))
            except OSError:
                closed += 1
        check("idle connections are closed", closed == 1000, closed)

        slow = connect(running)
        slow.sendall(b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        start = time.monotonic()
        answer = b""
        slow.settimeout(0.5)
        while time.monotonic() - start < 15:
            try:
                slow.sendall(b"x")
                part = slow.recv(1000)
                answer += part
                if not part or b"}" in answer:
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        check("a body that trickles is refused: 408", b" 408 " in answer.split(b"\r\n")[0], f"{time.monotonic() - start:.1f} s {answer[:60]}")

        image = IMAGES[0].read_bytes()
        for name, length, body in [("longer than the body", len(image) + 1000, image), ("shorter than the body", len(image) // 2, image)]:
            lying = connect(running)
            lying.sendall(f"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode() + body)
            lying.shutdown(socket.SHUT_WR)
            lying.settimeout(20)
            answer = b""
            try:
                while part := lying.recv(4000):
                    answer += part
            except OSError:
                pass
            check(f"Content-Length {name}", answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 2")), answer[:60])
        head = connect(running)
        head.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (1 << 20))
        try:
            answer = head.recv(1000)
        except OSError:
            answer = b""
        check("a head of a megabyte is refused", answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:40])

        connection = http.client.HTTPConnection(running.host, timeout=60)
        before = running.kibibytes()
        connection.request("POST", "/v1/segment", bytes(100 << 20))
        status = connection.getresponse().status
        check("a body of 100 MB is refused: 413", status == 413, f"{status}, memory {before // 1024} MiB, then {running.kibibytes() // 1024} MiB")

        many = []
        for _ in range(40):
            client = connect(running)
            client.sendall(f"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n".encode() + image)
            many.append(client)
        statuses = {}
        for client in many:
            status = client.recv(4000).split(b" ", 2)[1].decode()
            statuses[status] = statuses.get(status, 0) + 1
        check("more requests than are admitted: 503", set(statuses) <= {"200", "503"} and statuses.get("503", 0) > 0, statuses)
        for _ in range(50):
            client = connect(running)
            client.sendall(f"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n".encode() + image)
            client.close()
        time.sleep(2)
        connection = http.client.HTTPConnection(running.host)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        waiting = [line for line in text.splitlines() if line.startswith("seg_model_waiting")]
        check("clients that left leave no work", waiting == ['seg_model_waiting{model="nuclei",version="1"} 0'] and answers(running), waiting)


def stop():
    running = Server()
    large = io.BytesIO()
    Image.new("RGB", (1400, 1400)).save(large, "png")
    image = large.getvalue()
    client = connect(running)
    client.sendall(f"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n".encode() + image)
    text = ""
    while 'seg_requests_in_flight 2' not in text:
        connection = http.client.HTTPConnection(running.host)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    status = running.stop()
    answer = client.recv(100)
    check("a request under way is answered while the server stops", status == 0 and answer.startswith(b"HTTP/1.1 200"), (status, answer[:20]))


def main():
    sections = {"speed": speed, "memory": memory, "manners": manners, "stop": stop}
    for name in sys.argv[1:] or sections:
        print(f" {name}")
        sections[name]()
    end()


main()
