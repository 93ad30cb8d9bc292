"""Makes images: byte for byte in Python where the content matters, with umoci where any real image will do."""
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile

from program import run_tool

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_TAR = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
REF_NAME = "org.opencontainers.image.ref.name"
MTIME = 1600000000
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
OTHER_ARCHITECTURE = "arm64" if ARCHITECTURE != "arm64" else "amd64"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def noise(size, seed=1):
    """Bytes that do not compress, the same every time."""
    return random.Random(seed).randbytes(size)


# --- tar ---


def entry(name, data=b"", kind=None, mode=None, uid=0, gid=0, target="", mtime=MTIME, device=(0, 0), xattrs=None, pax=None):
    """(TarInfo, data). kind: a type of tarfile; by default a file, or a folder when the name ends in /."""
    info = tarfile.TarInfo(name.rstrip("/") if name.endswith("/") and kind is None else name)
    info.type = kind if kind is not None else tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
    info.mode = mode if mode is not None else 0o755 if info.type == tarfile.DIRTYPE else 0o644
    info.uid, info.gid, info.mtime, info.linkname = uid, gid, mtime, target
    info.devmajor, info.devminor = device
    info.size = len(data)
    info.pax_headers = dict(pax or {})
    for key, value in (xattrs or {}).items():
        info.pax_headers["SCHILY.xattr." + key] = value
    return info, data


def link(name, target, **more):
    return entry(name, kind=tarfile.SYMTYPE, target=target, mode=0o777, **more)


def hardlink(name, target, **more):
    return entry(name, kind=tarfile.LNKTYPE, target=target, **more)


def tar_of(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zstd_of(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True, timeout=60).stdout


class Layer:
    """A layer's blob and what its image says of it; every field may be changed to a lie."""

    def __init__(self, content, compression="gzip"):
        tar = content if isinstance(content, bytes) else tar_of(content)
        pack = {"gzip": lambda: gzip.compress(tar, 1, mtime=0), "zstd": lambda: zstd_of(tar), "": lambda: tar}
        self.blob = pack[compression]()
        self.diff_id = digest_of(tar)
        self.media_type = OCI_TAR + ("+" + compression if compression else "")


# --- layouts ---


class Layout:
    """An OCI image layout that holds what it is told to."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.entries = []
        os.makedirs(os.path.join(self.folder, "blobs", "sha256"))
        self.write("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self.save()

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)

    def save(self):
        self.write("index.json", json.dumps({"schemaVersion": 2, "manifests": self.entries}).encode())

    def digests(self):
        return ["sha256:" + name for name in os.listdir(os.path.join(self.folder, "blobs", "sha256"))]

    def read(self, digest):
        with open(os.path.join(self.folder, "blobs", *digest.split(":")), "rb") as file:
            return file.read()

    def blob(self, data, media_type, **more):
        """Adds a blob. Returns its descriptor."""
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = digest_of(data)
        self.write(os.path.join("blobs", *digest.split(":")), data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def add(self, descriptor, tag=None):
        """Puts a manifest or index into index.json."""
        descriptor = dict(descriptor)
        if tag:
            descriptor["annotations"] = {REF_NAME: tag}
        self.entries = [e for e in self.entries if not tag or e.get("annotations", {}).get(REF_NAME) != tag]
        self.entries.append(descriptor)
        self.save()
        return descriptor

    def manifest(self, layers, architecture=ARCHITECTURE, config=None, manifest=None, os_name="linux"):
        """Adds the documents of an image. config, manifest: fields to add or, when None, to leave out."""
        text = {"architecture": architecture, "os": os_name, "created": "2020-09-13T12:26:40Z",
                "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "Labels": {"made.by": "tests"}},
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
                "history": [{"created": "2020-09-13T12:26:40Z", "created_by": f"layer {i}"} for i in range(len(layers))]}
        text = {k: v for k, v in {**text, **(config or {})}.items() if v is not None}
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": self.blob(text, OCI_CONFIG),
                    "layers": [self.blob(layer.blob, layer.media_type) for layer in layers]}
        document = {k: v for k, v in {**document, **(manifest or {})}.items() if v is not None}
        return self.blob(document, OCI_MANIFEST)

    def image(self, layers, tag="latest", **more):
        return self.add(self.manifest(layers, **more), tag)

    def multi(self, images, tag="latest"):
        """An index over {architecture: layers}."""
        entries = [{**self.manifest(layers, architecture=a), "platform": {"os": "linux", "architecture": a}}
                   for a, layers in images.items()]
        return self.add(self.blob({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, OCI_INDEX), tag)


def simple(folder, count=2, tag="latest", size=2000, seed=0):
    """A layout with one image of so many layers, each with a file of noise."""
    layout = Layout(folder)
    layers = [Layer([entry("data/"), entry(f"data/file{i}", noise(size, seed + i))]) for i in range(count)]
    layout.image(layers, tag)
    return layout


# --- umoci ---

ROOTLESS = [] if os.geteuid() == 0 else ["--rootless"]


def busybox(folder, tag="latest"):
    """Debian's busybox as an image of two layers, made by umoci."""
    image, bundle = f"{folder}:{tag}", f"{folder}.bundle"
    rootfs = os.path.join(bundle, "rootfs")
    run_tool("umoci", "init", "--layout", folder)
    run_tool("umoci", "new", "--image", image)
    run_tool("umoci", "unpack", *ROOTLESS, "--image", image, bundle)
    for name in ("bin", "etc"):
        os.mkdir(os.path.join(rootfs, name))
    shutil.copy(shutil.which("busybox"), os.path.join(rootfs, "bin", "busybox"))
    os.chmod(os.path.join(rootfs, "bin", "busybox"), 0o755)
    os.symlink("busybox", os.path.join(rootfs, "bin", "sh"))
    run_tool("umoci", "repack", "--refresh-bundle", "--image", image, bundle)
    with open(os.path.join(rootfs, "etc", "motd"), "w", encoding="ascii") as file:
        file.write("Hello from an image.\n")
    run_tool("umoci", "repack", "--image", image, bundle)
    run_tool("umoci", "config", "--image", image, "--config.cmd", "/bin/busybox", "--config.env", "PATH=/bin",
             "--config.user", "1000:1000", "--config.workingdir", "/tmp", "--config.label", "title=busybox")
    shutil.rmtree(bundle)
    return folder
