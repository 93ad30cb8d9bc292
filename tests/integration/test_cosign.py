"""Signatures that cosign 2 and 3 made: what they left in a registry (cosign_vectors.json, whose maker is beside it), and
cosign itself when it is installed."""
import base64
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import attachments
import images
import program
from attachments import BUNDLE, SIGN_PREDICATE, Key, MemoryRegistry, Place
from images import OCI_CONFIG, Layer, digest_of, entry

NAME = "registry.example.org/team/app"
KINDS = ("p256", "p384", "rsa")
WORDS = {"p256": "ECDSA P-256", "p384": "ECDSA P-384", "rsa": "RSA 3072"}

with open(os.path.join(HERE, "..", "support", "cosign_vectors.json"), encoding="ascii") as vectors_file:
    VECTORS = json.load(vectors_file)


class Signed(program.Case):
    def setUp(self):
        super().setUp()
        for kind, pem in VECTORS["keys"].items():
            self.write(kind + ".pub", pem)

    def serve(self, case, **options):
        """A registry with what cosign made; sets name."""
        kept = VECTORS["cases"][case]
        self.registry = MemoryRegistry(**options)
        self.addCleanup(self.registry.stop)
        self.registry.tags = dict(kept["tags"])
        self.registry.blobs = {d: base64.b64decode(data) for d, data in kept["blobs"].items()}
        self.registry.manifests = {d: (kind, base64.b64decode(data)) for d, (kind, data) in kept["manifests"].items()}
        self.name = f"{self.registry.host}/team/app:1"

    def policy(self, identity=None):
        rule = {"type": "sigstoreSigned", "keyPath": "p256.pub"}
        if identity:
            rule["signedIdentity"] = identity
        return self.write("policy.json", json.dumps({"default": [{"type": "reject"}], "transports": {
            "docker": {self.registry.host: [rule]}}}))

    def verify(self, key, *options):
        return self.imgstore("verify", "--key", self.path(key + ".pub"), "--platform", "linux/amd64", *options, self.name)

    def accepts(self, *options):
        self.ok("pull", "--platform", "linux/amd64", *options, self.name)

    def refuses(self, *options, naming):
        self.fails("pull", "--platform", "linux/amd64", *options, self.name, naming=naming)

    def remapped(self):
        return {"type": "remapIdentity", "prefix": self.registry.host, "signedPrefix": "registry.example.org"}

    def test_keys(self):
        self.serve("signed")
        for kind in KINDS:
            result = self.verify(kind, "--any-identity")
            self.assertEqual(result.code, 0, str(result))
            self.assertIn(f"{kind}.pub ({WORDS[kind]})", result.out)
            self.accepts("--verify-key", self.path(kind + ".pub"), "--any-identity")
            self.refuses("--verify-key", self.path(kind + ".pub"), naming=f'it is for "{NAME}"')

    def test_identities(self):
        self.serve("signed")
        repository = {"type": "exactRepository", "dockerRepository": NAME}
        self.accepts("--policy", self.policy(repository))
        self.refuses("--policy", self.policy({**repository, "dockerRepository": NAME + "s"}), naming="for another image")
        self.refuses("--policy", self.policy({"type": "matchRepository"}), naming="for another image")
        self.refuses("--policy", self.policy(self.remapped()), naming="for another image")  # no tag in the payload
        self.serve("tagged")
        self.accepts("--policy", self.policy(self.remapped()))
        self.accepts("--policy", self.policy({"type": "exactReference", "dockerReference": NAME + ":1"}))
        self.refuses("--policy", self.policy({"type": "exactReference", "dockerReference": NAME + ":2"}),
                     naming="for another image")

    def test_referrers(self):
        for api in (True, False):
            self.serve("referrer", api=api)
            if not api:  # what cosign does then
                made, = [d for d, (_, data) in self.registry.manifests.items() if b'"subject"' in data]
                place = Place(self.registry.host, "team/app")
                place.set_fallback(self.registry.tags["1"], [place.descriptor(made)])
            self.accepts("--verify-key", self.path("p256.pub"), "--any-identity")

    def test_lists_with_the_type_of_the_config(self):
        """go-containerregistry's registry and others list the empty config's type for an artifact."""
        self.serve("bundles", type_of_config=True)
        self.accepts("--verify-key", self.path("p256.pub"))
        lines = self.ok("referrers", "--format", "json", self.name).splitlines()
        self.assertEqual([json.loads(line)["kind"] for line in lines], ["signature"] * 3)

    def test_recursive(self):
        self.serve("recursive")
        key = ["--verify-key", self.path("p256.pub"), "--any-identity"]
        self.accepts(*key)
        self.ok("pull", *key, "--all-platforms", self.name)
        index = self.registry.tags["1"]
        del self.registry.tags[index.replace(":", "-") + ".sig"]
        self.accepts(*key)  # by the signature of the platform
        self.fails("pull", *key, "--all-platforms", self.name, naming="no signature found")

    def test_bundles(self):
        self.serve("bundles")
        for kind in KINDS:
            self.assertEqual(self.verify(kind).code, 0)
            self.accepts("--verify-key", self.path(kind + ".pub"))
        self.write("other.pub", VECTORS["keys"]["p256"].replace("A", "B", 1))
        self.assertNotEqual(self.verify("other").code, 0)

    def test_bundles_name_nothing(self):
        """Where more than the repository has to be right, a signature that names none cannot count."""
        self.serve("bundles")
        self.accepts("--policy", self.policy({"type": "matchRepository"}))
        for identity in (None, {"type": "matchExact"}, {"type": "matchRepoDigestOrExact"}, self.remapped(),
                         {"type": "exactRepository", "dockerRepository": NAME}):
            with self.subTest(identity=identity):
                self.refuses("--policy", self.policy(identity), naming="it is a bundle, which names no repository")

    def test_altered(self):
        for case in ("signed", "bundles"):
            self.serve(case)
            marks = (b"docker-manifest-digest", b"dsseEnvelope")
            for digest, data in list(self.registry.blobs.items()):
                if not any(mark in data for mark in marks):
                    continue
                changed = data.replace(b"team/app", b"team/apq").replace(b'"payload":"ey', b'"payload":"eX')
                self.assertNotEqual(changed, data)
                self.swap(digest, changed)
            self.refuses("--verify-key", self.path("p256.pub"), "--any-identity", naming="none that counts")

    def swap(self, digest, data):
        """Another blob in the place of one, in all that names it."""
        self.registry.blobs[digest_of(data)] = data
        old, new = digest.encode(), digest_of(data).encode()
        for name, (kind, text) in list(self.registry.manifests.items()):
            if old in text:
                made = digest_of(text.replace(old, new))
                self.registry.manifests[made] = (kind, text.replace(old, new))
                del self.registry.manifests[name]
                self.registry.tags = {tag: made if d == name else d for tag, d in self.registry.tags.items()}

    def test_attestations(self):
        self.serve("attested")
        lines = [json.loads(line) for line in self.ok("referrers", "--format", "json", self.name).splitlines()]
        self.assertEqual([line["kind"] for line in lines], ["spdx", "spdx"])
        sbom = self.ok("referrers", "--fetch", lines[1]["digest"], self.name)
        self.assertEqual(json.loads(sbom)["spdxVersion"], "SPDX-2.3")
        self.refuses("--verify-key", self.path("p256.pub"), naming="no signature found")
        self.serve("attested bundle")
        self.refuses("--verify-key", self.path("p256.pub"), naming="attests https://spdx.dev/Document")


class Cosign(program.Case):
    """What is installed here signs, and reads what was attached."""

    def setUp(self):
        super().setUp()
        if not shutil.which("cosign"):
            self.skipTest("not installed: cosign")
        self.registry = MemoryRegistry()
        self.addCleanup(self.registry.stop)
        place = Place(self.registry.host, "lab/app")
        layer = Layer([entry("file", b"x")])
        config = {"architecture": images.ARCHITECTURE, "os": "linux",
                  "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}}
        self.image = place.manifest({"schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "config": place.blob(
            json.dumps(config).encode(), OCI_CONFIG), "layers": [place.blob(layer.blob, layer.media_type)]}, "1")
        self.name = f"{self.registry.host}/lab/app:1"

    def cosign(self, *words):
        done = subprocess.run(["cosign", *words], cwd=self.dir, env={**os.environ, "COSIGN_PASSWORD": ""}, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.decode()

    def test_sign_and_verify(self):
        self.cosign("generate-key-pair")
        bundles = "--signing-config" in self.cosign("sign", "--help")
        options = ["--use-signing-config=false"] if bundles else []
        key = ["--verify-key", self.path("cosign.pub")]
        self.fails("pull", *key, self.name, naming="no signature found")
        self.cosign("sign", "--yes", "--key", "cosign.key", "--tlog-upload=false", *options,
                    f"{self.registry.host}/lab/app@{self.image['digest']}")
        self.ok("pull", *key, self.name)

    def test_a_signature_by_openssl(self):
        if "--trusted-root" not in self.cosign("verify", "--help") or "--signing-config" not in self.cosign("sign", "--help"):
            self.skipTest("cosign is older than 3")
        key = Key(self.dir, "own")
        bundle = self.write("bundle.json", attachments.bundle(key, self.image["digest"]))
        self.ok("attach", "--artifact-type", BUNDLE, "--annotation", "dev.sigstore.bundle.content=dsse-envelope",
                "--annotation", f"dev.sigstore.bundle.predicateType={SIGN_PREDICATE}", self.name, bundle)
        root = self.write("root.json", '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
        self.cosign("verify", "--key", key.public, "--insecure-ignore-tlog", "--trusted-root", root, self.name)


if __name__ == "__main__":
    program.main(tools=["openssl"])
