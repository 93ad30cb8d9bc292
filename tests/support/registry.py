"""Registries on loopback: Debian's docker-registry, the faulty one of ours, and one that serves what it is given."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import website
from program import run_tool

HERE = os.path.dirname(os.path.abspath(__file__))
ACCESS = re.compile(r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[0-9.]+" (?P<status>\d+)')
PATIENCE = 30  # seconds for a server to start


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A process that serves until stop()."""

    process = None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Registry(Server):
    """docker-registry with a configuration of ours. folder: everything is in it, and stays for a restart."""

    def __init__(self, folder, tls=None, client_ca=None, htpasswd=None, delete=False):
        self.folder, self.tls, self.client_ca, self.htpasswd, self.delete = folder, tls, client_ca, htpasswd, delete
        os.makedirs(folder, exist_ok=True)
        self.log = os.path.join(folder, "registry.log")
        for _ in range(5):  # somebody else may take the port before the registry does
            if self.start(free_port()):
                return
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise AssertionError(f"docker-registry does not start: {log.read()}")

    def start(self, port):
        self.port = port
        self.host = f"127.0.0.1:{port}"
        http_part = {"addr": self.host, "secret": "for tests"}
        if self.tls:
            http_part["tls"] = {"certificate": self.tls[0], "key": self.tls[1]}
            if self.client_ca:
                http_part["tls"]["clientcas"] = [self.client_ca]
        configuration = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": os.path.join(self.folder, "data")},
                        "delete": {"enabled": self.delete}},
            "http": http_part,
        }
        if self.htpasswd:
            configuration["auth"] = {"htpasswd": {"realm": "tests", "path": self.htpasswd}}
        path = os.path.join(self.folder, "registry.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(configuration, file)  # JSON is YAML
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", path], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        return self.wait()

    def wait(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.02)
        self.stop()
        return False

    def name(self, repository, tag="latest"):
        return f"{self.host}/{repository}:{tag}"

    def requests(self):
        """(method, path, status) of all that was asked so far."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return [(m["method"], m["path"], int(m["status"])) for m in map(ACCESS.search, log) if m]

    def push(self, layout, tag, repository, to=None, options=()):
        """Copies layout:tag to the registry with skopeo."""
        run_tool("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", *options,
                 f"oci:{layout}:{tag}", f"docker://{self.host}/{repository}:{to or tag}")


class FaultServer(Server):
    """faultserver.py over a layout."""

    def __init__(self, folder, layout, *options):
        os.makedirs(folder, exist_ok=True)
        self.log = os.path.join(folder, "requests.log")
        port_file = os.path.join(folder, "port")
        if os.path.exists(port_file):
            os.unlink(port_file)
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "faultserver.py"), "--port-file", port_file,
                                         "--layout", str(layout), "--log", self.log, *map(str, options)],
                                        stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(port_file):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the fault server does not start")
            time.sleep(0.02)
        with open(port_file, encoding="ascii") as file:
            self.port = int(file.read())
        self.host = f"127.0.0.1:{self.port}"

    def name(self, scenario, tag="latest"):
        return f"{self.host}/{scenario}/app:{tag}"

    def lines(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def blob_gets(self):
        return [line for line in self.lines() if line.get("method") == "GET" and "/blobs/" in line["path"]]

    def failures(self):
        return [line for line in self.lines() if "failure" in line]


class StaticRegistry(website.Site):
    """Serves manifests and blobs exactly as given, however wrong they are. In this process, until stop()."""

    def __init__(self):
        self.answers = {}  # end of the path: (content type, bytes)
        super().__init__()

    def answer(self, request, _body):
        kind, data = self.answers.get("/".join(request.path.split("/")[-2:]), (None, b"{}"))
        return 200 if kind or request.path == "/v2/" else 404, {"Content-Type": kind or "application/json"}, data

    def serve_layout(self, layout):
        """All that a Layout of images.py holds; a manifest has the type that its index entry says."""
        for digest in layout.digests():
            self.answers[f"blobs/{digest}"] = ("application/octet-stream", layout.read(digest))
        for entry in layout.entries:
            for name in (entry["digest"], entry.get("annotations", {}).get("org.opencontainers.image.ref.name", "")):
                self.answers[f"manifests/{name}"] = (entry["mediaType"], layout.read(entry["digest"]))


# --- certificates ---


class Authority:
    """A certificate authority made by openssl, and what it signs."""

    def __init__(self, folder, name="tests"):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.cert, self.key = os.path.join(folder, "ca.crt"), os.path.join(folder, "ca.key")
        run_tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                 "2", "-subj", f"/CN={name} authority", "-keyout", self.key, "-out", self.cert)

    def sign(self, name, subject_names="IP:127.0.0.1,DNS:localhost", usage="serverAuth"):
        """(certificate, key)"""
        base = os.path.join(self.folder, name)
        with open(base + ".ext", "w", encoding="ascii") as file:
            file.write(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={subject_names}\n" if subject_names else ""))
        run_tool("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                 f"/CN={name}", "-keyout", base + ".key", "-out", base + ".csr")
        run_tool("openssl", "x509", "-req", "-in", base + ".csr", "-CA", self.cert, "-CAkey", self.key,
                 "-CAcreateserial", "-days", "2", "-extfile", base + ".ext", "-out", base + ".crt")
        return base + ".crt", base + ".key"
