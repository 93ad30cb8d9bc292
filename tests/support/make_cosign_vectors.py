"""Makes cosign_vectors.json: what cosign leaves in a registry, for tests that must not need cosign.

    COSIGN2=cosign-2.4.1 COSIGN3=cosign-3.0.2 tests/support/make_cosign_vectors.py tests/support/cosign_vectors.json

made_by in the file has the commands of each case. A passphrase is empty, the transparency log left out.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile

from attachments import MemoryRegistry, Place, compact
from images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Layer, entry
from program import run_tool

V2, V3 = os.environ.get("COSIGN2", "cosign"), os.environ.get("COSIGN3", "cosign")
NO_LOG = {V2: ["--tlog-upload=false"], V3: ["--use-signing-config=false", "--tlog-upload=false"]}
KINDS = ("p256", "p384", "rsa")
NAME = "registry.example.org/team/app"  # what simple signatures are for: the registry's own name changes


def image(place, tag, architecture):
    layer = Layer([entry("file", architecture.encode())])
    config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}}
    return place.manifest({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": place.blob(compact(config), OCI_CONFIG),
                           "layers": [place.blob(layer.blob, layer.media_type)]}, tag)


def index(place):
    entries = [{**image(place, a, a), "platform": {"os": "linux", "architecture": a}} for a in ("amd64", "arm64")]
    return place.manifest({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, "1")


class Maker:
    """One registry for each case, with the image team/app:1 in it."""

    def __init__(self, folder):
        self.folder, self.cases = folder, {}

    def begin(self, name, made=lambda place: image(place, "1", "amd64")):
        self.registry = MemoryRegistry()
        self.cases[name] = {"made_by": [], "registry": self.registry}
        self.digest = made(Place(self.registry.host, "team/app"))["digest"]
        self.image = f"{self.registry.host}/team/app@{self.digest}"

    def cosign(self, program, *words):
        environment = {**os.environ, "COSIGN_PASSWORD": "", "COSIGN_EXPERIMENTAL": "1"}
        subprocess.run([program, *words], cwd=self.folder, env=environment, check=True, timeout=120)
        if self.cases:
            line = " ".join(["cosign-2" if program == V2 else "cosign-3", *words])
            self.cases[list(self.cases)[-1]]["made_by"].append(line.replace(self.registry.host, "REGISTRY"))

    def keys(self):
        run_tool("openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", f"{self.folder}/p384.pem")
        run_tool("openssl", "genrsa", "-out", f"{self.folder}/rsa.pem", "3072")
        self.cosign(V2, "generate-key-pair", "--output-key-prefix", "p256")
        for kind in KINDS[1:]:
            self.cosign(V2, "import-key-pair", "--key", f"{kind}.pem", "--output-key-prefix", kind)

    def public_key(self, kind):
        with open(f"{self.folder}/{kind}.pub", encoding="ascii") as file:
            return file.read()

    def sign(self, program, key, *more):
        self.cosign(program, "sign", "--yes", *NO_LOG[program], "--key", f"{key}.key", *more, self.image)

    def fill(self):
        identity = ["--sign-container-identity", NAME]
        self.begin("signed")
        for key in KINDS:
            self.sign(V2, key, *identity)
        self.begin("tagged")
        self.sign(V2, "p256", "--sign-container-identity", NAME + ":1", "--annotations", "who=me")
        self.begin("referrer")
        self.sign(V2, "p256", "--registry-referrers-mode", "oci-1-1", *identity)
        self.begin("recursive", index)
        self.sign(V2, "p256", "--recursive", *identity)
        self.begin("bundles")
        for key in KINDS:
            self.sign(V3, key)
        attest = ["attest", "--yes", "--key", "p256.key", "--predicate", "sbom.json", "--type", "spdxjson"]
        with open(f"{self.folder}/sbom.json", "w", encoding="ascii") as file:
            file.write('{"spdxVersion":"SPDX-2.3","name":"x"}')
        self.begin("attested")
        self.cosign(V2, *attest, *NO_LOG[V2], self.image)
        self.cosign(V2, "attach", "sbom", "--sbom", "sbom.json", "--type", "spdx", self.image)
        self.begin("attested bundle")
        self.cosign(V3, *attest, *NO_LOG[V3], self.image)


def dump(case):
    registry = case["registry"]
    text = lambda data: base64.b64encode(data).decode()
    return {"made_by": case["made_by"], "tags": registry.tags,
            "blobs": {digest: text(data) for digest, data in registry.blobs.items()},
            "manifests": {digest: [kind, text(data)] for digest, (kind, data) in registry.manifests.items()}}


def main(path):
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(folder)
        maker.keys()
        maker.fill()
        vectors = {"keys": {kind: maker.public_key(kind) for kind in KINDS},
                   "cases": {name: dump(case) for name, case in maker.cases.items()}}
    with open(path, "w", encoding="ascii") as file:
        json.dump(vectors, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
