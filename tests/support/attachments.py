"""Keys and signatures by openssl, the objects that signers and builders attach, and a registry in memory that has the
referrers API (Debian's docker-registry has none)."""
import base64
import hashlib
import http.client
import json
import os
import re
import urllib.parse

import website
from images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, digest_of
from program import run_tool

EMPTY = "application/vnd.oci.empty.v1+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
IN_TOTO = "application/vnd.in-toto+json"
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
KINDS = {"p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
         "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}


def compact(document):
    return json.dumps(document, separators=(",", ":")).encode()


class Key:
    """A pair of files, and what the private one signs."""

    def __init__(self, folder, name, kind="p256"):
        self.private, self.public = os.path.join(folder, name + ".key"), os.path.join(folder, name + ".pub")
        run_tool("openssl", "genpkey", "-algorithm", *KINDS[kind], "-out", self.private)
        run_tool("openssl", "pkey", "-in", self.private, "-pubout", "-out", self.public)

    def sign(self, data, hash_name="sha256"):
        """base64"""
        path = self.private + ".data"
        with open(path, "wb") as file:
            file.write(data)
        return base64.b64encode(run_tool("openssl", "dgst", "-" + hash_name, "-sign", self.private, path)).decode()


# --- what is attached ---


def payload(name, digest, **more):
    return compact({"critical": {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest},
                                 "type": "cosign container image signature", **more}, "optional": None})


def statement(digest, predicate_type=SIGN_PREDICATE, predicate=None):
    return compact({"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate_type,
                    "subject": [{"name": "", "digest": {"sha256": digest.split(":")[1]}}], "predicate": predicate or {}})


def envelope(key, body):
    covered = b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(body), body)
    return {"payload": base64.b64encode(body).decode(), "payloadType": IN_TOTO,
            "signatures": [{"sig": key.sign(covered)}]}


def bundle(key, digest, predicate_type=SIGN_PREDICATE):
    return compact({"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": ""}},
                    "dsseEnvelope": envelope(key, statement(digest, predicate_type))})


def message_bundle(key, manifest):
    return compact({"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": ""}},
                    "messageSignature": {"messageDigest": {
                        "algorithm": "SHA2_256", "digest": base64.b64encode(hashlib.sha256(manifest).digest()).decode()},
                        "signature": key.sign(manifest)}})


class Place:
    """A repository of a registry without TLS, spoken to directly."""

    def __init__(self, host, repository):
        self.host, self.repository = host, repository

    def ask(self, method, path, body=None, kind=None, url=None):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        headers = {"Accept": f"{OCI_MANIFEST}, {OCI_INDEX}"}
        if kind:
            headers["Content-Type"] = kind
        connection.request(method, url or f"/v2/{self.repository}/{path}", body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def blob(self, data, kind="application/octet-stream", **more):
        """Uploads and returns the descriptor."""
        digest = digest_of(data)
        answer, _ = self.ask("POST", "blobs/uploads/", b"")
        where = urllib.parse.urlsplit(answer.headers["Location"])
        url = where.path + "?" + (where.query + "&" if where.query else "") + "digest=" + digest
        answer, text = self.ask("PUT", None, data, "application/octet-stream", url)
        assert answer.status == 201, (answer.status, text)
        return {"mediaType": kind, "digest": digest, "size": len(data), **more}

    def manifest(self, document, tag=None):
        """Uploads bytes or a document and returns the descriptor."""
        data = document if isinstance(document, bytes) else compact(document)
        kind = json.loads(data).get("mediaType", OCI_MANIFEST)
        digest = digest_of(data)
        answer, text = self.ask("PUT", "manifests/" + (tag or digest), data, kind)
        assert answer.status == 201, (answer.status, text)
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def get(self, name):
        """The bytes of a manifest, or None."""
        answer, data = self.ask("GET", "manifests/" + name)
        return data if answer.status == 200 else None

    def descriptor(self, name):
        data = self.get(name)
        return {"mediaType": json.loads(data).get("mediaType", OCI_MANIFEST), "digest": digest_of(data),
                "size": len(data)}

    # --- cosign's way ---

    def cosign_manifest(self, layers):
        return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": self.blob(b'{"a":1}', OCI_CONFIG),
                "layers": layers}

    def cosign_sign(self, digest, signatures, suffix=".sig"):
        """signatures: (payload, base64) pairs. Sets the tag."""
        layers = [self.blob(body, SIMPLE_SIGNING, annotations={} if text is None else
                            {"dev.cosignproject.cosign/signature": text}) for body, text in signatures]
        return self.manifest(self.cosign_manifest(layers), digest.replace(":", "-") + suffix)

    def sign(self, key, digest, name=None):
        body = payload(name or f"{self.host}/{self.repository}", digest)
        return self.cosign_sign(digest, [(body, key.sign(body))])

    # --- referrers ---

    def referrer(self, subject, artifact_type, layers, annotations=None, **more):
        """Uploads an artifact. layers: (bytes, media type) or descriptors."""
        made = [entry if isinstance(entry, dict) else self.blob(*entry) for entry in layers]
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type,
                    "config": self.blob(b"{}", EMPTY), "layers": made, "subject": subject,
                    "annotations": annotations or {}, **more}
        return {**self.manifest(document), "artifactType": artifact_type, "annotations": annotations or {}}

    def set_fallback(self, digest, descriptors):
        return self.manifest({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors},
                             digest.replace(":", "-"))


# --- a registry in memory ---


class MemoryRegistry(website.Site):
    """Keeps what is pushed. api: whether it has the referrers API; page: how many referrers an answer lists;
    type_of_config: it lists the type of an artifact's config as that of the artifact."""

    def __init__(self, api=True, page=100, honest_filter=True, type_of_config=False):
        self.api, self.page, self.honest_filter, self.type_of_config = api, page, honest_filter, type_of_config
        self.blobs, self.manifests, self.tags, self.uploads = {}, {}, {}, {}
        self.referrers_answer = None  # (status, content type, bytes) instead of the right one
        self.after_get = None  # called with the path after a manifest was sent
        super().__init__()

    def answered(self, request):
        if self.after_get and request.command == "GET" and "/manifests/" in request.path:
            self.after_get(request.path)

    def answer(self, request, body):
        url = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|referrers|blobs/uploads)/([^/]*)", url.path)
        if url.path == "/v2/":
            return 200, {}, b"{}"
        if not match:
            return 404, {"Content-Type": "text/plain"}, b"404 page not found\n"
        repository, what, name = match.groups()
        handlers = {"manifests": self.serve_manifest, "blobs": self.serve_blob, "referrers": self.serve_referrers,
                    "blobs/uploads": self.serve_upload}
        return handlers[what](request.command, repository, name, query, request.headers, body)

    def missing(self, code):
        return 404, {"Content-Type": "application/json"}, compact({"errors": [{"code": code, "message": "not here"}]})

    def serve_upload(self, method, repository, name, query, _headers, body):
        if method == "POST":
            name = str(len(self.uploads))
            self.uploads[name] = b""
        if method in ("POST", "PATCH"):
            self.uploads[name] += body
            return 202, {"Location": f"/v2/{repository}/blobs/uploads/{name}"}, b""
        body = self.uploads[name] + body
        if method == "PUT" and digest_of(body) == query.get("digest"):
            self.blobs[query["digest"]] = body
            return 201, {"Docker-Content-Digest": query["digest"], "Location": f"/v2/{repository}/blobs/x"}, b""
        return 400, {}, compact({"errors": [{"code": "DIGEST_INVALID", "message": name}]})

    def serve_blob(self, _method, _repository, name, _query, headers, _body):
        if name not in self.blobs:
            return self.missing("BLOB_UNKNOWN")
        data = self.blobs[name]
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", ""))
        if match:
            first = int(match[1])
            return 206, {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}, data[first:]
        return 200, {"Content-Type": "application/octet-stream"}, data

    def serve_manifest(self, method, repository, name, _query, headers, body):
        if method == "PUT":
            digest = digest_of(body)
            self.manifests[digest] = (headers["Content-Type"], body)
            if ":" not in name:
                self.tags[name] = digest
            more = {"Docker-Content-Digest": digest, "Location": f"/v2/{repository}/manifests/{digest}"}
            subject = json.loads(body).get("subject")
            if subject and self.api:
                more["OCI-Subject"] = subject["digest"]
            return 201, more, b""
        digest = self.tags.get(name, name)
        if digest not in self.manifests:
            return self.missing("MANIFEST_UNKNOWN")
        kind, data = self.manifests[digest]
        return 200, {"Content-Type": kind, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}, data

    def serve_referrers(self, _method, repository, name, query, _headers, _body):
        if self.referrers_answer:
            status, kind, data = self.referrers_answer
            return status, {"Content-Type": kind}, data
        if not self.api:
            return 404, {"Content-Type": "text/html"}, b"<html>404 Not Found</html>"
        found = []
        for digest, (kind, data) in sorted(self.manifests.items()):
            document = json.loads(data)
            if (document.get("subject") or {}).get("digest") == name:
                type_of = document["config"]["mediaType"]
                found.append({"mediaType": kind, "digest": digest, "size": len(data),
                              "artifactType": type_of if self.type_of_config else document.get("artifactType", type_of),
                              "annotations": document.get("annotations", {})})
        headers = {"Content-Type": OCI_INDEX}
        wanted = query.get("artifactType")
        if wanted and self.honest_filter:
            found = [entry for entry in found if entry["artifactType"] == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        start = int(query.get("from", 0))
        if start + self.page < len(found):
            kept = f"&artifactType={urllib.parse.quote(wanted)}" if wanted else ""
            headers["Link"] = f'</v2/{repository}/referrers/{name}?from={start + self.page}{kept}>; rel="next"'
        return 200, headers, compact({"schemaVersion": 2, "mediaType": OCI_INDEX,
                                      "manifests": found[start:start + self.page]})


# --- cosign's private keys: PKCS #8 in NaCl's secretbox, the key from a passphrase by scrypt ---


def _rotate(value, bits):
    return ((value << bits) | (value >> (32 - bits))) & 0xffffffff


def _salsa_rounds(block):
    x = list(block)
    quarters = [(0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
                (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)]
    for _ in range(10):
        for a, b, c, d in quarters:
            x[b] ^= _rotate((x[a] + x[d]) & 0xffffffff, 7)
            x[c] ^= _rotate((x[b] + x[a]) & 0xffffffff, 9)
            x[d] ^= _rotate((x[c] + x[b]) & 0xffffffff, 13)
            x[a] ^= _rotate((x[d] + x[c]) & 0xffffffff, 18)
    return x


def _salsa_block(key, nonce):
    """16 words: constants on the diagonal, key, nonce of 16 bytes."""
    word = lambda data, i: int.from_bytes(data[4 * i:4 * i + 4], "little")
    sigma = b"expand 32-byte k"
    return [word(sigma, 0), *[word(key, i) for i in range(4)], word(sigma, 1), *[word(nonce, i) for i in range(4)],
            word(sigma, 2), *[word(key, i) for i in range(4, 8)], word(sigma, 3)]


def secretbox(key, nonce, message):
    """XSalsa20-Poly1305."""
    words = lambda values: b"".join(v.to_bytes(4, "little") for v in values)
    hsalsa = _salsa_rounds(_salsa_block(key, nonce[:16]))
    subkey = words(hsalsa[i] for i in (0, 5, 10, 15, 6, 7, 8, 9))
    stream = b""
    for counter in range((32 + len(message)) // 64 + 1):
        block = _salsa_block(subkey, nonce[16:] + counter.to_bytes(8, "little"))
        stream += words((a + b) & 0xffffffff for a, b in zip(block, _salsa_rounds(block)))
    sealed = bytes(a ^ b for a, b in zip(message, stream[32:]))
    r = int.from_bytes(stream[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total = 0
    for i in range(0, len(sealed), 16):
        total = (total + int.from_bytes(sealed[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    tag = (total + int.from_bytes(stream[16:32], "little")) & ((1 << 128) - 1)
    return tag.to_bytes(16, "little") + sealed


def write_cosign_key(key, path, passphrase):
    """The private key of a Key as cosign keeps it, which is what skopeo and podman sign with."""
    der = run_tool("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", key.private, "-outform", "DER")
    salt, nonce = os.urandom(32), os.urandom(24)
    secret = hashlib.scrypt(passphrase.encode(), salt=salt, n=32768, r=8, p=1, maxmem=1 << 26, dklen=32)
    text = lambda data: base64.b64encode(data).decode()
    body = text(compact({"kdf": {"name": "scrypt", "params": {"N": 32768, "r": 8, "p": 1}, "salt": text(salt)},
                         "cipher": {"name": "nacl/secretbox", "nonce": text(nonce)},
                         "ciphertext": text(secretbox(secret, nonce, der))}))
    lines = [body[i:i + 64] for i in range(0, len(body), 64)]
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(["-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----", *lines,
                              "-----END ENCRYPTED COSIGN PRIVATE KEY-----", ""]))
