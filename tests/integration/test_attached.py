"""What is attached to images: listing, fetching, signatures and the policies that a pull enforces."""
import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import attachments
import images
import program
import registry
from attachments import BUNDLE, EMPTY, IN_TOTO, SIMPLE_SIGNING, Key, MemoryRegistry, Place, compact, payload
from images import ARCHITECTURE, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, OTHER_ARCHITECTURE, Layer, digest_of, entry

SPDX = "https://spdx.dev/Document"
SLSA = "https://slsa.dev/provenance/v1"
SKOPEO = os.environ.get("SKOPEO", "skopeo")  # one with sigstore
KEYS = {}


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-keys-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    for name, kind in (("good", "p256"), ("second", "p384"), ("third", "rsa"), ("evil", "p256")):
        KEYS[name] = Key(folder, name, kind)


def push_image(place, tag="1", content=b"one", architecture=ARCHITECTURE, annotations=None):
    """A small image; returns its descriptor."""
    layer = Layer([entry("file", content)])
    config = {"architecture": architecture, "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": place.blob(compact(config), OCI_CONFIG),
                "layers": [place.blob(layer.blob, layer.media_type)], "annotations": annotations or {}}
    return place.manifest(document, tag)


def attestation(place, digest, predicates):
    """BuildKit's: an image manifest whose layers are in-toto statements."""
    layers = [place.blob(attachments.statement(digest, p), IN_TOTO, annotations={"in-toto.io/predicate-type": p})
              for p in predicates]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers,
                "config": place.blob(compact({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {
                "type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}), OCI_CONFIG)}
    return {**place.manifest(document), "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest}}


def push_index(place, tag="multi", attest=True):
    """(index, {architecture: image})"""
    made = {a: push_image(place, f"only-{a}", a.encode(), a) for a in (ARCHITECTURE, OTHER_ARCHITECTURE)}
    entries = [{**d, "platform": {"os": "linux", "architecture": a}} for a, d in made.items()]
    if attest:
        entries += [attestation(place, d["digest"], [SPDX, SLSA]) for d in made.values()]
    return place.manifest({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, tag), made


class MemoryCase(program.Case):
    """Against the registry in memory."""

    options = {}

    def setUp(self):
        super().setUp()
        self.registry = MemoryRegistry(**self.options)
        self.addCleanup(self.registry.stop)
        self.place = Place(self.registry.host, "lab/app")
        self.image = push_image(self.place)
        self.digest = self.image["digest"]
        self.name = f"{self.registry.host}/lab/app:1"

    def listed(self, *options, name=None, **more):
        lines = self.ok("referrers", "--format", "json", *options, name or self.name, **more).splitlines()
        return [json.loads(line) for line in lines]

    def kinds(self, *options, **more):
        return sorted(line["kind"] for line in self.listed(*options, **more))


class Listing(MemoryCase):
    def attach_some(self):
        place = self.place
        place.referrer(self.image, "application/spdx+json", [(b"{}", "application/spdx+json")], {"made": "by tests"})
        place.referrer(self.image, "application/vnd.cyclonedx+json", [(b"[]", "application/vnd.cyclonedx+json")])
        place.referrer(self.image, "application/sarif+json", [(b'"s"', "application/sarif+json")])
        place.referrer(self.image, "application/vnd.example.thing", [(b"thing", "text/plain")])

    def test_nothing(self):
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.ok("referrers", self.name).split(), ["KIND", "TYPE", "DIGEST", "SIZE"])

    def test_referrers(self):
        self.attach_some()
        self.assertEqual(self.kinds(), ["cyclonedx", "other", "spdx", "vulnerability"])
        spdx, = self.listed("--type", "spdx")
        self.assertEqual((spdx["artifactType"], spdx["mediaType"]), ("application/spdx+json",) * 2)
        self.assertEqual((spdx["digest"], spdx["size"]), (digest_of(b"{}"), 2))
        self.assertEqual((spdx["subject"], spdx["found"]), (self.digest, "referrers"))
        self.assertEqual(spdx["annotations"], {"made": "by tests"})
        self.assertEqual(self.kinds("--type", "sbom"), ["cyclonedx", "spdx"])
        self.assertEqual(self.kinds("--type", "application/sarif+json"), ["vulnerability"])
        self.assertIn("referrers/" + self.digest + "?artifactType=application%2Fsarif%2Bjson",
                      [p.split("/app/")[-1] for _, p in self.registry.requests])
        table = self.ok("referrers", self.name)
        self.assertRegex(table, r"spdx +application/spdx\+json +[0-9a-f]{12} +2B")
        self.assertEqual(self.imgstore("referrers", "--type", "nonsense", self.name).code, 2)

    def test_every_kind(self):
        cases = {"application/vnd.security.vulnerability.report; version=1.1": "vulnerability",
                 "application/vnd.aquasec.trivy.report.sarif.v1": "vulnerability",
                 "application/vnd.openvex+json": "vulnerability", "application/csaf+json": "vulnerability",
                 "text/spdx": "spdx", "application/vnd.cncf.notary.signature": "signature",
                 "application/vnd.slsa.provenance+json": "provenance", "application/vnd.acme.rocket": "other"}
        for i, kind in enumerate(cases):
            self.place.referrer(self.image, kind, [(b"%d" % i, "application/octet-stream")])
        found = {line["artifactType"]: line["kind"] for line in self.listed()}
        self.assertEqual(found, cases)

    def test_pages(self):
        self.registry.page = 3
        for i in range(10):
            self.place.referrer(self.image, "application/spdx+json", [(b"%d" % i, "application/spdx+json")])
        self.assertEqual(len(self.listed()), 10)
        self.assertEqual(len([p for _, p in self.registry.requests if "/referrers/" in p]), 4)
        self.assertEqual(len(self.listed("--type", "application/spdx+json")), 10)

    def test_a_filter_that_is_not_applied(self):
        self.registry.honest_filter = False
        self.attach_some()
        self.assertEqual(self.kinds("--type", "application/spdx+json"), ["spdx"])

    def test_fallback_tag(self):
        self.registry.api = False  # answers with an HTML page
        made = self.place.referrer(self.image, "application/spdx+json", [(b"{}", "application/spdx+json")])
        self.assertEqual(self.listed(), [])
        self.place.set_fallback(self.digest, [made])
        line, = self.listed()
        self.assertEqual((line["kind"], line["found"]), ("spdx", "tag"))

    def test_cosign_tags(self):
        self.place.sign(KEYS["good"], self.digest)
        dsse = compact(attachments.envelope(KEYS["good"], attachments.statement(self.digest, SPDX)))
        tag = self.digest.replace(":", "-")
        self.place.manifest(self.place.cosign_manifest([self.place.blob(
            dsse, "application/vnd.dsse.envelope.v1+json", annotations={"predicateType": SPDX})]), tag + ".att")
        self.place.manifest(self.place.cosign_manifest([self.place.blob(b"sbom", "text/spdx+json")]), tag + ".sbom")
        self.assertEqual(self.kinds(), ["signature", "spdx", "spdx"])
        self.assertEqual({line["found"] for line in self.listed()}, {"cosign"})
        att = [line for line in self.listed() if line.get("predicateType")][0]
        self.assertEqual(att["predicateType"], SPDX)

    def test_buildkit_attestations(self):
        index, made = push_index(self.place)
        name = f"{self.registry.host}/lab/app:multi"
        lines = self.listed(name=name)
        self.assertEqual(sorted(line["kind"] for line in lines), ["provenance", "spdx"])
        self.assertEqual({line["subject"] for line in lines}, {made[ARCHITECTURE]["digest"]})
        self.assertEqual({line["found"] for line in lines}, {"index"})
        other = self.listed("--platform", f"linux/{OTHER_ARCHITECTURE}", name=name)
        self.assertEqual({line["subject"] for line in other}, {made[OTHER_ARCHITECTURE]["digest"]})
        self.place.sign(KEYS["good"], index["digest"])
        self.assertIn("signature", self.kinds(name=name))
        # the same from a store, once it was pulled with its index
        self.ok("pull", "--all-platforms", name)
        local = self.listed("--local", name=name)
        self.assertEqual(sorted(line["kind"] for line in local), ["provenance", "spdx"])
        content = self.ok("referrers", "--local", "--type", "provenance", "-o", "-", name)
        self.assertEqual(json.loads(content)["predicateType"], SLSA)

    def test_fetch(self):
        self.attach_some()
        out = self.path("out")
        self.ok("referrers", "--type", "other", "-o", out, self.name)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), b"thing")
        digest = digest_of(b"thing")
        self.assertEqual(self.ok("referrers", "--fetch", digest[7:15], self.name), "thing")
        self.assertEqual(self.ok("referrers", "--fetch", digest, self.name), "thing")
        self.fails("referrers", "-o", out, self.name, naming="4 objects")
        self.fails("referrers", "--fetch", "0123456789", self.name, naming="no attached object")

    def test_an_artifact_without_files(self):
        self.place.referrer(self.image, "application/vnd.example.note", [(b"{}", EMPTY)], {"note": "x"})
        line, = self.listed()
        self.assertEqual(line["digest"], line["manifest"])
        self.assertEqual(json.loads(self.ok("referrers", "-o", "-", self.name))["annotations"], {"note": "x"})

    def test_by_digest_and_errors(self):
        self.attach_some()
        self.assertEqual(len(self.listed(name=f"{self.registry.host}/lab/app@{self.digest}")), 4)
        self.fails("referrers", f"{self.registry.host}/lab/app:none", naming="lab/app:none")
        index, _ = push_index(self.place)
        self.fails("referrers", "--platform", "linux/s390x", f"{self.registry.host}/lab/app:multi", naming="s390x")


class Lies(MemoryCase):
    """Lists and objects that are not what they say."""

    def test_a_referrer_of_something_else(self):
        other = push_image(self.place, "2", b"two")
        made = self.place.referrer(other, "application/spdx+json", [(b"{}", "application/spdx+json")])
        self.registry.referrers_answer = (200, OCI_INDEX, compact(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [made]}))
        result = self.imgstore("referrers", "--format", "json", self.name)
        self.assertEqual((result.code, result.out), (0, ""), str(result))
        self.assertRegex(result.err, f"{made['digest']}.*left out")

    def test_a_list_that_lies_about_types(self):
        made = self.place.referrer(self.image, "application/vnd.example.thing", [(b"x", "text/plain")])
        self.registry.referrers_answer = (200, OCI_INDEX, compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {**made, "artifactType": "application/spdx+json", "annotations": {"a": "lie"}}]}))
        line, = self.listed()
        self.assertEqual((line["kind"], line["artifactType"], line["annotations"]),
                         ("other", "application/vnd.example.thing", {}))

    def test_manifests_that_are_not_there_or_wrong(self):
        good = self.place.referrer(self.image, "application/spdx+json", [(b"{}", "application/spdx+json")])
        gone = {**good, "digest": digest_of(b"gone")}
        lying = {**good, "digest": digest_of(b"lying")}
        self.registry.manifests[lying["digest"]] = self.registry.manifests[good["digest"]]
        sized = self.place.referrer(self.image, "application/vnd.a", [(b"a", "text/plain")])
        self.registry.referrers_answer = (200, OCI_INDEX, compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            gone, lying, {**sized, "size": 7}, good]}))
        result = self.imgstore("referrers", "--format", "json", self.name)
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual([json.loads(line)["kind"] for line in result.out.splitlines()], ["spdx"])
        self.assertEqual(result.err.count("left out"), 3, str(result))

    def test_objects_that_are_too_large(self):
        good = self.place.referrer(self.image, "application/spdx+json", [(b"{}", "application/spdx+json")])
        huge = compact({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "x": "y" * (5 << 20)})
        self.registry.manifests[digest_of(huge)] = (OCI_MANIFEST, huge)
        self.registry.tags[self.digest.replace(":", "-") + ".sig"] = digest_of(huge)
        listed = {"mediaType": OCI_MANIFEST, "digest": digest_of(huge), "size": len(huge)}
        self.registry.referrers_answer = (200, OCI_INDEX, compact(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed, good]}))
        result = self.imgstore("referrers", "--format", "json", self.name)
        self.assertEqual((result.code, result.err.count("left out")), (0, 2), str(result))
        self.assertEqual(json.loads(result.out)["kind"], "spdx")

    def test_content_that_was_altered(self):
        self.place.referrer(self.image, "application/spdx+json", [(b"abc", "application/spdx+json")])
        self.registry.blobs[digest_of(b"abc")] = b"abd"
        self.fails("referrers", "-o", "-", self.name, naming=digest_of(b"abc"))
        self.registry.blobs[digest_of(b"abc")] = b"ab"
        self.fails("referrers", "-o", "-", self.name, naming=digest_of(b"abc"))

    def test_answers_that_are_no_list(self):
        cases = [(b"", OCI_INDEX), (b"{}", OCI_INDEX), (b"[]", "application/json"), (b'{"manifests": 7}', OCI_INDEX),
                 (b"<html>", "text/html"), (self.registry.manifests[self.digest][1], OCI_MANIFEST),
                 (b'{"schemaVersion":2,"manifests":[{"digest":"sha256:0"}]}', OCI_INDEX)]
        for body, kind in cases:
            self.registry.referrers_answer = (200, kind, body)
            result = self.imgstore("referrers", self.name)
            self.assertIn(result.code, (0, 1), str(result))
            self.assertTrue(result.code == 1 or "left out" in result.err, str(result))

    def test_errors_of_the_api(self):
        for status in (404, 400, 405):
            self.registry.referrers_answer = (status, "text/html", b"<html>no</html>")
            self.assertEqual(self.listed(), [])
        self.registry.referrers_answer = (500, "text/plain", b"broken")
        self.fails("referrers", "--retries", "0", self.name, naming="500")
        self.registry.referrers_answer = (403, "application/json", compact(
            {"errors": [{"code": "DENIED", "message": "not for you"}]}))
        self.fails("referrers", self.name, naming="not for you")

    def test_pages_without_end(self):
        self.registry.page = 0  # each page is empty and names another
        for i in range(3):
            self.place.referrer(self.image, "application/spdx+json", [(b"%d" % i, "application/spdx+json")])
        self.fails("referrers", self.name, naming="page after page")

    def test_a_huge_list(self):
        entries = [{"mediaType": OCI_MANIFEST, "size": 2, "digest": digest_of(b"%d" % i), "artifactType": "a/b"}
                   for i in range(4200)]
        self.registry.referrers_answer = (200, OCI_INDEX, compact(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}))
        self.fails("referrers", self.name, naming="4096|entries|manifests")
        self.registry.referrers_answer = (200, OCI_INDEX, b" " * (5 << 20))
        self.fails("referrers", self.name, naming="limit")

    def test_annotations_are_only_data(self):
        nasty = {"a\x1b[31mb": "\x1b]0;x\x07", "org.opencontainers.image.title": "../../etc/passwd"}
        self.place.referrer(self.image, "application/\u202espdx", [(b"{}", "text/\x1b[1m")], nasty)
        line, = self.listed()
        self.assertEqual(line["annotations"], nasty)
        table = self.ok("referrers", self.name)
        self.assertNotRegex(table, "[\x1b\u202e]")


class Signatures(MemoryCase):
    def verify(self, *arguments, **more):
        return self.imgstore("verify", *arguments, self.name, **more)

    def check(self, key="good", refused=None, options=(), name=None):
        """verify and pull agree."""
        path = KEYS[key].public if key in KEYS else key
        name = name or self.name
        before = self.blobs()
        if refused:
            self.fails("verify", "--key", path, *options, name, naming=refused)
            error = self.fails("pull", "--verify-key", path, *options, name, naming=refused)
            self.assertEqual(self.blobs(), before, "the store changed")
            self.assertNotIn(name, self.names())
            return error
        self.ok("verify", "--key", path, *options, name)
        self.ok("pull", "--verify-key", path, *options, name)
        self.assertIn(name, self.names())
        self.ok("rm", name)
        return None

    def test_unsigned(self):
        error = self.check(refused="no signature found")
        self.assertIn(self.name, error)
        self.assertIn("good.pub", error)

    def test_signed(self):
        self.place.sign(KEYS["good"], self.digest)
        self.check()
        self.check("evil", refused="1 signature found, none that counts by .*evil.pub")
        result = self.verify("--key", KEYS["good"].public)
        self.assertRegex(result.out, r"sha256:[0-9a-f]{64}: signed by .*good.pub \(ECDSA P-256\)")
        line = json.loads(self.ok("verify", "--key", KEYS["good"].public, "--format", "json", self.name))
        self.assertEqual((line["status"], line["key"]), ("signed", KEYS["good"].public))

    def test_every_kind_of_key(self):
        for name in ("good", "second", "third"):
            self.place.sign(KEYS[name], self.digest)
            self.check(name)

    def test_hashes(self):
        body = payload(self.name, self.digest)
        for hash_name in ("sha384", "sha512"):
            self.place.cosign_sign(self.digest, [(body, KEYS["second"].sign(body, hash_name))])
            self.check("second")

    def test_several_signatures(self):
        body = payload(self.name, self.digest)
        self.place.cosign_sign(self.digest, [(body, KEYS["evil"].sign(body)), (body, KEYS["good"].sign(body))])
        self.check()
        self.ok("verify", "--key", KEYS["third"].public, "--key", KEYS["good"].public, self.name)

    def test_for_another_digest(self):
        other = push_image(self.place, "2", b"two")
        body = payload(self.name, other["digest"])
        self.place.cosign_sign(self.digest, [(body, KEYS["good"].sign(body))])
        self.check(refused="for another image.*" + other["digest"])

    def test_for_another_name(self):
        body = payload("registry.example.org/else/where", self.digest)
        self.place.cosign_sign(self.digest, [(body, KEYS["good"].sign(body))])
        self.check(refused="registry.example.org/else/where")
        self.check(options=["--any-identity"])

    def test_an_altered_payload(self):
        body = payload(self.name, self.digest)
        self.place.cosign_sign(self.digest, [(body.replace(b"null", b'{"a":1}'), KEYS["good"].sign(body))])
        self.check(refused="none that counts")

    def test_junk_for_a_signature(self):
        body = payload(self.name, self.digest)
        for junk in ("", "!!!", "AAAA", "QUJD" * 10000, KEYS["good"].sign(body)[:-4], None,
                     KEYS["good"].sign(body) + "\n"):
            self.place.cosign_sign(self.digest, [(body, junk)])
            self.check(refused="1 signature found")

    def test_payloads_that_are_none(self):
        wrong = [b"", b"{}", b"not json", payload(self.name, self.digest, type="else"),
                 payload(self.name, self.digest, more=1), payload(self.name, "sha256:1"),
                 payload(self.name, self.digest) + b" {}"]
        for body in wrong:
            self.place.cosign_sign(self.digest, [(body, KEYS["good"].sign(body))])
            self.check(refused="signature found, none that counts")

    def test_a_payload_that_does_not_hash_right(self):
        body = payload(self.name, self.digest)
        self.place.cosign_sign(self.digest, [(body, KEYS["good"].sign(body))])
        self.registry.blobs[digest_of(body)] = body.replace(b"null", b"nulL")
        self.check(refused="no signature found")

    def test_too_many_signatures(self):
        body = payload(self.name, self.digest)
        good = (body, KEYS["good"].sign(body))
        self.place.cosign_sign(self.digest, [(body, "AAAA")] * 63 + [good])
        self.check()
        self.place.cosign_sign(self.digest, [(body, "AAAA")] * 64 + [good])
        self.check(refused="64 signatures found")

    def test_bundles(self):
        kinds = [attachments.bundle(KEYS["good"], self.digest),
                 attachments.message_bundle(KEYS["good"], self.place.get("1"))]
        for made in kinds:
            self.place.referrer(self.image, BUNDLE, [(made, BUNDLE)])
            self.check()
            self.check("evil", refused="1 signature found")
            self.registry.manifests = {k: v for k, v in self.registry.manifests.items() if b"subject" not in v[1]}

    def test_bundles_in_the_fallback_tag(self):
        self.registry.api = False
        made = self.place.referrer(self.image, BUNDLE, [(attachments.bundle(KEYS["good"], self.digest), BUNDLE)])
        self.check(refused="no signature found")
        self.place.set_fallback(self.digest, [made])
        self.check()

    def test_bundles_that_prove_nothing(self):
        other = push_image(self.place, "2", b"two")
        self.place.referrer(self.image, BUNDLE, [(attachments.bundle(KEYS["good"], other["digest"]), BUNDLE)])
        self.check(refused="for another image")
        self.place.referrer(self.image, BUNDLE, [(attachments.bundle(KEYS["good"], self.digest, SLSA), BUNDLE)])
        self.check(refused="2 signatures found")

    def test_keyless(self):
        made = json.loads(attachments.bundle(KEYS["evil"], self.digest))
        made["verificationMaterial"] = {"certificate": {"rawBytes": base64.b64encode(b"x").decode()}}
        self.place.referrer(self.image, BUNDLE, [(compact(made), BUNDLE)])
        self.check(refused="keyless.*not supported")

    def test_a_signature_that_is_no_referrer(self):
        """A list may not lend one image's signature to another."""
        other = push_image(self.place, "2", b"two")
        made = self.place.referrer(other, BUNDLE, [(attachments.bundle(KEYS["good"], self.digest), BUNDLE)])
        self.registry.referrers_answer = (200, OCI_INDEX, compact(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [made]}))
        self.check(refused="no signature found")

    def test_keys_that_are_not_keys(self):
        self.place.sign(KEYS["good"], self.digest)
        for content, words in ((b"", "not a public key"), (b"hello", "not a public key"),
                               (open(KEYS["good"].private, "rb").read(), "private key")):
            self.check(self.write("bad.pub", content), refused=words)
        self.check(self.path("none.pub"), refused="none.pub")
        self.check(self.dir, refused="not a file")

    def test_indexes(self):
        index, made = push_index(self.place)
        name = f"{self.registry.host}/lab/app:multi"
        self.check(name=name, refused="no signature found")
        self.place.sign(KEYS["good"], made[ARCHITECTURE]["digest"])
        self.check(name=name)  # the platform's manifest is signed
        self.check(name=name, options=["--all-platforms"], refused="no signature found")
        self.place.sign(KEYS["good"], index["digest"])
        self.check(name=name, options=["--all-platforms"])
        self.check(name=name, options=["--platform", f"linux/{OTHER_ARCHITECTURE}"])  # by the index that names it

    def test_by_digest(self):
        self.place.sign(KEYS["good"], self.digest)
        name = f"{self.registry.host}/lab/app@{self.digest}"
        self.fails("pull", "--verify-key", KEYS["evil"].public, name, naming="1 signature found")
        self.ok("pull", "--verify-key", KEYS["good"].public, name)

    def test_what_is_there_already_is_refused_too(self):
        self.ok("pull", self.name)
        self.fails("pull", "--verify-key", KEYS["good"].public, self.name, naming="no signature found")
        self.assertIn(self.name, self.names())  # it was pulled without a policy before

    def test_unpacking_waits_for_the_verdict(self):
        tree = self.path("tree")
        self.fails("pull", "--verify-key", KEYS["good"].public, "--unpack", tree, self.name, naming="no signature")
        self.assertFalse(os.path.exists(tree) and os.listdir(tree))
        self.place.sign(KEYS["good"], self.digest)
        self.ok("pull", "--verify-key", KEYS["good"].public, "--unpack", tree, self.name)
        self.assertTrue(os.path.exists(os.path.join(tree, "file")))

    def test_through_a_mirror(self):
        mirror = MemoryRegistry()
        self.addCleanup(mirror.stop)
        mirror.blobs, mirror.manifests, mirror.tags = self.registry.blobs, self.registry.manifests, self.registry.tags
        options = ["--mirror", f"http://{mirror.host}"]
        self.check(options=options, refused="no signature found")
        self.place.sign(KEYS["good"], self.digest)
        self.check(options=options)
        self.assertTrue(mirror.requests)
        # a mirror that swaps the image under the tag
        evil = push_image(Place(mirror.host, "lab/app"), "evil", b"evil")
        mirror.tags = {**self.registry.tags, "1": evil["digest"]}
        self.check(options=options, refused="no signature found")

    def test_a_network_that_fails_is_no_verdict(self):
        self.registry.referrers_answer = (500, "text/plain", b"broken")
        error = self.fails("pull", "--retries", "0", "--verify-key", KEYS["good"].public, self.name, naming="500")
        self.assertNotIn("refused by the policy", error)
        self.assertEqual(self.names(), [])


class Policies(MemoryCase):
    def policy(self, scopes=None, default="insecureAcceptAnything", raw=None):
        document = raw or {"default": [{"type": default}], "transports": {"docker": scopes or {}}}
        return self.write("policy.json", document if isinstance(document, (bytes, str)) else json.dumps(document))

    def signed(self, key="good", **more):
        return {"type": "sigstoreSigned", "keyPath": KEYS[key].public,
                "signedIdentity": {"type": "matchRepository"}, **more}

    def pull(self, path, refused=None, name=None):
        if refused:
            return self.fails("pull", "--policy", path, name or self.name, naming=refused)
        result = self.imgstore("pull", "--policy", path, name or self.name)
        self.assertEqual(result.code, 0, str(result))
        return result.err

    def test_accept_and_reject(self):
        self.pull(self.policy())
        error = self.pull(self.policy(default="reject"), refused="refused by the policy for \"default\"")
        self.assertIn("rejects every image", error)
        self.pull(self.policy({self.registry.host: [{"type": "insecureAcceptAnything"}]}, "reject"))
        self.pull(self.policy({"registry.example.org": [{"type": "reject"}]}))

    def test_the_most_specific_scope(self):
        host, accept, reject = self.registry.host, [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
        self.pull(self.policy({host: reject, f"{host}/lab": accept}))
        self.pull(self.policy({host: accept, f"{host}/lab": reject}), refused=f'"{host}/lab"')
        self.pull(self.policy({f"{host}/lab": reject, f"{host}/lab/app": accept}))
        self.pull(self.policy({f"{host}/lab/app": reject, f"{host}/lab/app:1": accept}))
        self.pull(self.policy({f"{host}/la": reject, f"{host}/lab/ap": reject}))
        self.pull(self.policy({"": reject}), refused="rejects")
        self.pull(self.policy({f"{host}/lab/app:1": accept, "": reject}))

    def test_signatures(self):
        host = self.registry.host
        path = self.policy({host: [self.signed()]})
        self.pull(path, refused=f"{self.name}: refused by the policy for \"{host}\": no signature found")
        self.place.sign(KEYS["good"], self.digest)
        self.pull(path)
        self.ok("verify", "--policy", path, self.name)
        data = base64.b64encode(open(KEYS["good"].public, "rb").read()).decode()
        identity = {"type": "matchRepository"}
        for keys in ({"keyData": data}, {"keyDatas": [data]}, {"keyPaths": [KEYS["evil"].public, KEYS["good"].public]}):
            self.pull(self.policy({host: [{"type": "sigstoreSigned", "signedIdentity": identity, **keys}]}))
        self.pull(self.policy({host: [self.signed(), self.signed("second")]}), refused="second.pub")

    def test_how_many(self):
        body = payload(f"{self.registry.host}/lab/app", self.digest)
        keys = {"keyPaths": [KEYS[k].public for k in ("good", "second", "third")], "signatures": 2}
        path = self.policy({"": [{"type": "sigstoreSigned", "signedIdentity": {"type": "matchRepository"}, **keys}]})
        self.place.cosign_sign(self.digest, [(body, KEYS["good"].sign(body)), (body, KEYS["good"].sign(body))])
        self.pull(path, refused="signed by 1 of the 2 keys")
        self.place.cosign_sign(self.digest, [(body, KEYS["good"].sign(body)), (body, KEYS["third"].sign(body))])
        self.pull(path)

    def test_warn(self):
        path = self.policy({"": [self.signed(onFailure="warn")]})
        self.assertIn("no signature found", self.pull(path))
        self.place.sign(KEYS["good"], self.digest)
        self.assertNotIn("policy", self.pull(path))

    def test_identities(self):
        host, key = self.registry.host, KEYS["good"]
        cases = [
            ({"type": "matchRepository"}, f"{host}/lab/app", True), ({"type": "matchRepository"}, f"{host}/lab/app:9", True),
            ({"type": "matchRepository"}, f"{host}/lab/else", False),
            ({"type": "matchExact"}, f"{host}/lab/app:1", True), ({"type": "matchExact"}, f"{host}/lab/app", False),
            (None, f"{host}/lab/app:1", True), (None, f"{host}/lab/app:2", False), (None, f"{host}/lab/app", False),
            ({"type": "exactReference", "dockerReference": "docker.io/a/b:c"}, "a/b:c", True),
            ({"type": "exactReference", "dockerReference": "docker.io/a/b:c"}, "a/b:d", False),
            ({"type": "exactRepository", "dockerRepository": "docker.io/a/b"}, "a/b", True),
            ({"type": "exactRepository", "dockerRepository": "docker.io/a/b"}, f"{host}/lab/app:1", False),
            ({"type": "remapIdentity", "prefix": host, "signedPrefix": "vendor.example"}, "vendor.example/lab/app:1", True),
            ({"type": "remapIdentity", "prefix": host, "signedPrefix": "vendor.example"}, f"{host}/lab/app:1", False),
            ({"type": "matchRepository"}, "", False), ({"type": "matchRepository"}, "NOT A NAME", False)]
        for identity, claimed, accepted in cases:
            body = payload(claimed, self.digest)
            self.place.cosign_sign(self.digest, [(body, key.sign(body))])
            rule = {"type": "sigstoreSigned", "keyPath": key.public, **({"signedIdentity": identity} if identity else {})}
            with self.subTest(identity=identity, claimed=claimed):
                self.pull(self.policy({host: [rule]}), refused=None if accepted else "for another image")

    def test_what_is_not_supported_is_refused(self):
        for rule, words in (({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"}, "OpenPGP"),
                            ({"type": "sigstoreSigned", "fulcio": {}}, "fulcio"),
                            (self.signed(rekorPublicKeyPath="/x"), "rekorPublicKeyPath")):
            self.pull(self.policy({self.registry.host: [rule]}), refused="unsupported: .*" + words)
            self.pull(self.policy({"registry.example.org": [rule]}))

    def test_files_that_are_not_policies(self):
        accept = [{"type": "insecureAcceptAnything"}]
        wrong = [b"", b"{}", b"[]", b"{", b'{"default":[]}', b'{"default":[{}]}', {"default": accept, "more": 1},
                 {"default": [{"type": "else"}]}, {"default": [{"type": "reject", "x": 1}]},
                 {"default": accept, "transports": []}, {"default": accept, "transports": {"docker": []}},
                 {"default": accept, "transports": {"docker": {"a b": accept}}},
                 {"default": [{"type": "sigstoreSigned"}]}, {"default": [self.signed(keyData="AAAA")]},
                 {"default": [self.signed(signatures=0)]}, {"default": [self.signed(onFailure="no")]},
                 {"default": [self.signed(signedIdentity={"type": "x"})]},
                 {"default": [{"type": "sigstoreSigned", "keyData": "!"}]},
                 {"default": [{"type": "sigstoreSigned", "keyPaths": []}]},
                 b'{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}']
        for document in wrong:
            with self.subTest(document=document):
                self.pull(self.policy(raw=document) if document else self.write("policy.json", b""),
                          refused="policy.json")
        self.pull(self.path("none.json"), refused="none.json")
        self.pull(self.policy(raw={"default": [{"type": "sigstoreSigned", "keyPath": "missing.pub"}]}),
                  refused="missing.pub")

    def test_key_beside_the_policy(self):
        with open(KEYS["good"].public, "rb") as file:
            self.write("here.pub", file.read())
        self.place.sign(KEYS["good"], self.digest)
        rule = {"type": "sigstoreSigned", "keyPath": "here.pub", "signedIdentity": {"type": "matchRepository"}}
        self.pull(self.policy({"": [rule]}))

    def test_usage(self):
        path = self.policy()
        for arguments in (["pull", "--policy", path, "--verify-key", KEYS["good"].public, self.name],
                          ["pull", "--any-identity", self.name], ["verify", self.name],
                          ["verify", "--full", "--key", KEYS["good"].public, self.name],
                          ["verify", "--key", KEYS["good"].public]):
            self.assertEqual(self.imgstore(*arguments).code, 2)
        self.ok("pull", self.name)
        self.ok("verify", "--full")


class Attaching(MemoryCase):
    def attach(self, *arguments, name=None):
        result = self.imgstore("attach", *arguments[:-1], name or self.name, arguments[-1])
        self.assertEqual(result.code, 0, str(result))
        return result.out.strip()

    def test_a_file(self):
        path = self.write("sbom.spdx.json", b'{"spdxVersion":"SPDX-2.3"}')
        out = self.attach("--artifact-type", "application/spdx+json", "--annotation", "made=by tests", path)
        repository, digest = out.split("@")
        self.assertEqual(repository, f"{self.registry.host}/lab/app")
        manifest = json.loads(self.place.get(digest))
        self.assertEqual(manifest["subject"], {k: self.image[k] for k in ("mediaType", "digest", "size")})
        self.assertEqual(manifest["config"]["mediaType"], EMPTY)
        line, = self.listed()
        self.assertEqual((line["kind"], line["title"], line["found"]), ("spdx", "sbom.spdx.json", "referrers"))
        self.assertEqual(line["annotations"], {"org.opencontainers.image.title": "sbom.spdx.json", "made": "by tests"})
        self.assertEqual(self.ok("referrers", "-o", "-", self.name), '{"spdxVersion":"SPDX-2.3"}')
        self.assertFalse([p for m, p in self.registry.requests if m == "PUT" and "/manifests/sha256-" in p])
        self.assertEqual(self.attach("--artifact-type", "application/spdx+json", "--annotation", "made=by tests", path), out)
        self.assertEqual(len(self.listed()), 1)

    def test_without_content_or_with_much(self):
        self.ok("attach", "--artifact-type", "application/vnd.example.note", "--annotation", "note=x", self.name)
        self.assertEqual(self.kinds(), ["other"])
        big = self.write("big", images.noise(3 << 20))
        empty = self.write("empty", b"")
        self.ok("attach", "--media-type", "application/sarif+json", self.name, big, empty)
        sizes = [line["size"] for line in self.listed("--type", "vulnerability")]
        self.assertEqual(sorted(sizes), [0, 3 << 20])
        self.assertEqual(json.loads(self.ok("attach", "--format", "json", "--media-type", "text/plain", self.name,
                                            empty))["mediaType"], OCI_MANIFEST)

    def test_to_an_index_or_a_platform(self):
        index, made = push_index(self.place, attest=False)
        name, path = f"{self.registry.host}/lab/app:multi", self.write("f", b"f")
        self.attach("--media-type", "text/spdx", path, name=name)
        self.attach("--media-type", "application/sarif+json", "--platform", f"linux/{ARCHITECTURE}", path, name=name)
        subjects = {line["kind"]: line["subject"] for line in self.listed(name=name)}
        self.assertEqual(subjects, {"spdx": index["digest"], "vulnerability": made[ARCHITECTURE]["digest"]})

    def test_a_mirror_does_not_say_what_is_changed(self):
        mirror = MemoryRegistry()
        self.addCleanup(mirror.stop)
        push_image(Place(mirror.host, "lab/app"), "1", b"stale")
        self.ok("attach", "--mirror", f"http://{mirror.host}", "--media-type", "a/b", self.name, self.write("f", b"f"))
        self.assertEqual([line["subject"] for line in self.listed()], [self.digest])

    def test_what_cannot_be_attached(self):
        path = self.write("f", b"f")
        self.fails("attach", "--media-type", "text/plain", self.name, self.path("none"), naming="none")
        self.fails("attach", "--media-type", "text/plain", self.name, self.dir, naming="not a file")
        self.fails("attach", "--media-type", "text/plain", self.name, naming="nothing to attach")
        self.fails("attach", "--media-type", "nonsense", self.name, path, naming="not a media type")
        self.fails("attach", "--media-type", "a/b", f"{self.registry.host}/lab/app:none", path, naming="app:none")
        self.fails("attach", "--media-type", "a/b", "--annotation", "a=1", "--annotation", "A=2", self.name, path,
                   naming="set already")
        self.assertEqual(self.imgstore("attach", self.name, path).code, 2)
        self.assertEqual(self.imgstore("attach", "--media-type", "a/b", "--annotation", "x", self.name, path).code, 2)

    def test_a_signature_by_hand(self):
        """What attach makes of a bundle is what verify takes."""
        path = self.write("bundle.json", attachments.bundle(KEYS["third"], self.digest))
        self.attach("--artifact-type", BUNDLE, path)
        self.ok("verify", "--key", KEYS["third"].public, self.name)


class FallbackTag(MemoryCase):
    """Attaching where the registry keeps no referrers."""

    options = {"api": False}

    def attach(self, content, **more):
        return self.ok("attach", "--media-type", "application/spdx+json", self.name, self.write("f", content), **more)

    def fallback(self):
        return json.loads(self.place.get(self.digest.replace(":", "-")))

    def test_made_and_added_to(self):
        first = self.attach(b"1").strip().split("@")[1]
        second = self.attach(b"2").strip().split("@")[1]
        index = self.fallback()
        self.assertEqual([d["digest"] for d in index["manifests"]], [first, second])
        self.assertEqual({d["artifactType"] for d in index["manifests"]}, {"application/spdx+json"})
        self.attach(b"1")  # again
        self.assertEqual(self.fallback(), index)
        self.assertEqual({line["found"] for line in self.listed()}, {"tag"})

    def test_what_others_wrote_stays(self):
        other = {**self.place.referrer(self.image, "application/vnd.x", [(b"x", "text/plain")]), "unknown": {"kept": [1, 2.50]}}
        self.place.manifest({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [other], "annotations": {"a": "b"}},
                            self.digest.replace(":", "-"))
        self.attach(b"1")
        index = self.fallback()
        self.assertEqual(index["manifests"][0], other)
        self.assertEqual(index["annotations"], {"a": "b"})

    def test_something_else_has_the_tag(self):
        self.registry.tags[self.digest.replace(":", "-")] = self.digest
        self.fails("attach", "--media-type", "a/b", self.name, self.write("f", b"f"), naming="names something else")

    def test_a_writer_that_overwrites(self):
        """Another client that read before us writes after us, once."""
        tag = self.digest.replace(":", "-")
        other = self.place.referrer(self.image, "application/vnd.x", [(b"x", "text/plain")])
        stale = compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [other]})
        done = []

        def overwrite(path):
            if path.endswith(tag) and tag in self.registry.tags and not done:
                done.append(1)
                digest = digest_of(stale)
                self.registry.manifests[digest] = (OCI_INDEX, stale)
                self.registry.tags[tag] = digest

        self.registry.after_get = overwrite
        made = self.attach(b"1").strip().split("@")[1]
        self.assertEqual({d["digest"] for d in self.fallback()["manifests"]}, {other["digest"], made})

    def test_a_writer_that_never_rests(self):
        tag = self.digest.replace(":", "-")
        count = [0]

        def overwrite(path):
            if path.endswith(tag):
                count[0] += 1
                data = compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [],
                                "annotations": {"n": str(count[0])}})
                self.registry.manifests[digest_of(data)] = (OCI_INDEX, data)
                self.registry.tags[tag] = digest_of(data)

        serve = self.registry.serve_manifest

        def serve_and_overwrite(method, repository, name, *rest):
            answer = serve(method, repository, name, *rest)
            if method == "PUT":
                overwrite(name)
            return answer

        self.registry.serve_manifest = serve_and_overwrite
        self.fails("attach", "--media-type", "a/b", self.name, self.write("f", b"f"), naming="do not let .* settle")

    def test_many_at_once(self):
        processes = [self.start("attach", "--media-type", "a/b", self.name, self.write(f"f{i}", b"%d" % i))
                     for i in range(6)]
        for process in processes:
            self.assertEqual(process.wait(60), 0, process.stderr.read() if process.returncode else "")
        self.assertEqual(len(self.fallback()["manifests"]), 6)


class DockerRegistry(program.Case):
    """Debian's registry, which has no referrers API: the fallback tag, and cosign's tags."""

    def test_all(self):
        if program.lack_of(["docker-registry"]):
            self.skipTest("not installed: docker-registry")
        server = registry.Registry(self.path("registry"))
        self.addCleanup(server.stop)
        place, name = Place(server.host, "lab/app"), server.name("lab/app", "1")
        image = push_image(place)
        place.sign(KEYS["third"], image["digest"])
        made = place.referrer(image, "application/spdx+json", [(b"{}", "application/spdx+json")])
        place.set_fallback(image["digest"], [made])
        lines = [json.loads(line) for line in self.ok("referrers", "--format", "json", name).splitlines()]
        self.assertEqual(sorted((line["kind"], line["found"]) for line in lines),
                         [("signature", "cosign"), ("spdx", "tag")])
        self.ok("pull", "--verify-key", KEYS["third"].public, name)
        self.fails("pull", "--verify-key", KEYS["good"].public, name, naming="1 signature found")
        self.ok("attach", "--media-type", "application/sarif+json", name, self.write("report", b"{}"))
        kinds = [json.loads(line)["kind"] for line in self.ok("referrers", "--format", "json", name).splitlines()]
        self.assertEqual(sorted(kinds), ["signature", "spdx", "vulnerability"])



class Skopeo(program.Case):
    """skopeo signs as cosign does and reads the same policy files: both must come to the same verdict."""

    def setUp(self):
        super().setUp()
        reason = program.lack_of(["docker-registry", "skopeo"])
        if reason:
            self.skipTest(reason)
        server = registry.Registry(self.path("registry"))
        self.addCleanup(server.stop)
        self.registry = server
        os.mkdir(self.path("registries.d"))
        self.write("registries.d/default.yaml", "default-docker:\n  use-sigstore-attachments: true\n")

    def skopeo(self, *arguments, policy=None):
        words = [SKOPEO, "--registries.d", self.path("registries.d")]
        words += ["--policy", policy] if policy else ["--insecure-policy"]
        done = subprocess.run([*words, "copy", "-q", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=60, check=False)
        if b"sigstore disabled" in done.stdout:
            self.skipTest("Debian's skopeo is built without sigstore")
        return done

    def sign(self, name, key, identity=None):
        images.simple(self.path("layout"))
        attachments.write_cosign_key(KEYS[key], self.path("cosign.key"), "secret")
        self.write("passphrase", "secret")
        done = self.skopeo("--dest-tls-verify=false", "--sign-by-sigstore-private-key", self.path("cosign.key"),
                           "--sign-passphrase-file", self.path("passphrase"),
                           *(["--sign-identity", identity] if identity else []),
                           f"oci:{self.path('layout')}:latest", f"docker://{name}")
        self.assertEqual(done.returncode, 0, done.stdout)

    def policy(self, key, identity=None):
        rule = {"type": "sigstoreSigned", "keyPath": KEYS[key].public,
                **({"signedIdentity": identity} if identity else {})}
        return self.write("policy.json", json.dumps({"default": [{"type": "reject"}],
                                                     "transports": {"docker": {self.registry.host: [rule]}}}))

    def both(self, name, path, accepted):
        theirs = self.skopeo("--src-tls-verify=false", f"docker://{name}", f"dir:{self.path('out')}", policy=path)
        ours = self.imgstore("pull", "--policy", path, name)
        self.assertEqual((theirs.returncode == 0, ours.code == 0), (accepted, accepted), (theirs.stdout, str(ours)))

    def test_verdicts(self):
        name = self.registry.name("lab/signed", "1")
        self.sign(name, "good")
        self.ok("verify", "--key", KEYS["good"].public, name)
        kinds = [json.loads(line)["kind"] for line in self.ok("referrers", "--format", "json", name).splitlines()]
        self.assertEqual(kinds, ["signature"])
        self.both(name, self.policy("good"), True)
        self.both(name, self.policy("evil"), False)
        self.both(name, self.policy("good", {"type": "matchExact"}), True)
        self.both(name, self.policy("good", {"type": "matchRepository"}), True)
        self.both(name, self.policy("good", {"type": "exactRepository", "dockerRepository": "docker.io/a/b"}), False)
        self.both(name, self.policy("good", {"type": "exactReference", "dockerReference": name}), True)

    def test_identities(self):
        name = self.registry.name("lab/signed", "1")
        self.sign(name, "good", "vendor.example/lab/signed:1")
        self.both(name, self.policy("good"), False)
        self.both(name, self.policy("good", {"type": "remapIdentity", "prefix": self.registry.host,
                                             "signedPrefix": "vendor.example"}), True)
        self.both(name, self.policy("good", {"type": "remapIdentity", "prefix": self.registry.host + "/la",
                                             "signedPrefix": "vendor.example/la"}), False)
        self.ok("verify", "--key", KEYS["good"].public, "--any-identity", name)

    def test_signatures_by_openssl(self):
        name = self.registry.name("lab/app", "1")
        place = Place(self.registry.host, "lab/app")
        image = push_image(place)
        body = payload(name, image["digest"])
        place.cosign_sign(image["digest"], [(body, KEYS["good"].sign(body))])
        self.both(name, self.policy("good"), True)
        body = payload(name.replace(":1", ":2"), image["digest"])
        place.cosign_sign(image["digest"], [(body, KEYS["good"].sign(body))])
        self.both(name, self.policy("good"), False)


if __name__ == "__main__":
    program.main(tools=["openssl"])
