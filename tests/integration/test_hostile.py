"""Hostile images, loaded, pulled and unpacked: one line of error or a harmless result, and nothing outside the target."""
import gzip
import hashlib
import json
import os
import stat
import sys
import tarfile
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry
import trees
from images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, OCI_TAR, Layer, Layout, digest_of, entry, hardlink, link, noise

UP = "../" * 12
DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


class HostileCase(program.Case):
    """The target is box/target; outside/ and all else in the test's folder must stay as they are."""

    def setUp(self):
        super().setUp()
        self.outside, self.box = self.path("outside"), self.path("box")
        os.makedirs(os.path.join(self.outside, "folder"))
        self.write("outside/canary", "sings", 0o600)
        self.write("outside/folder/inner", "sings too")
        os.mkdir(self.box)
        self.target = os.path.join(self.box, "target")
        self.number = 0

    def layout(self):
        self.number += 1
        return Layout(self.path(f"layout{self.number}"))

    def unchanged(self):
        """A guard over everything that no image may touch."""
        case = self

        class Guard:
            def __enter__(self):
                self.before, self.names = trees.scan(case.outside), sorted(os.listdir(case.dir))

            def __exit__(self, kind, *_):
                if kind is None:
                    case.assertEqual(trees.scan(case.outside), self.before)
                    case.assertEqual([n for n in sorted(os.listdir(case.dir)) if n not in self.names + ["store"]], [])
                    case.assertLessEqual(set(os.listdir(case.box)), {"target"})

        return Guard()

    def check_target(self):
        """What was made holds nothing that an image may not plant."""
        for path, seen in trees.scan(self.target).items():
            self.assertNotEqual(seen.get("device"), (0, 0), path)
            self.assertEqual([x for x in seen["xattrs"] if "overlay" in x], [], path)

    def unpack(self, layers, refused=None, naming="layer sha256:"):
        """Loads and unpacks; refused: it must fail (True), must not (False), or may (None)."""
        layout = self.layout()
        layout.image([layer if isinstance(layer, Layer) else Layer(layer) for layer in layers])
        name = os.path.basename(layout.folder) + ":latest"
        for workers in (0, 2):
            with self.unchanged():
                loaded = self.imgstore("load", "-q", "--workers", workers, "-i", layout.folder)
                result = self.imgstore("unpack", "-q", "--workers", workers, name, self.target) if loaded.code == 0 else loaded
                self.assertIn(result.code, (0, 1), str(result))
                if result.code:
                    self.assertFalse(os.path.lexists(self.target), str(result))
                    self.assertEqual(len(result.err.splitlines()), 1, str(result))
                    self.assertRegex(result.err, naming)
                else:
                    self.assertTrue(stat.S_ISDIR(os.lstat(self.target).st_mode))
                    self.check_target()
                if refused is not None:
                    self.assertEqual(result.code, 1 if refused else 0, str(result))
                program.remove_tree(self.target)
        self.assert_sound()

    def document(self, data, media_type=OCI_MANIFEST, naming=".", blobs=()):
        """A manifest or index: neither load nor pull takes it."""
        layout = self.layout()
        for blob in blobs:
            layout.blob(blob, "x")
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        layout.add(layout.blob(data, media_type), "latest")
        self.refused(layout, naming)

    def refused(self, layout, naming="."):
        server = registry.StaticRegistry()
        self.addCleanup(server.stop)
        server.serve_layout(layout)
        root = self.path("pulled")
        with self.unchanged():
            self.fails("load", "-q", "-i", layout.folder, naming=naming)
            self.assertEqual(self.names(), [])
            self.fails("pull", "-q", "--retries", 0, f"{server.host}/app:latest", naming=naming,
                       root=os.path.join(self.box, "target"))
            self.assertEqual(self.names(os.path.join(self.box, "target")), [])
        program.remove_tree(self.target)
        if os.path.exists(self.root):
            self.assert_clean()
        program.remove_tree(self.root)  # what it verified before the failure it need not read again
        server.stop()


class Paths(HostileCase):
    def test_names_that_lead_outside(self):
        canary = os.path.join(self.outside, "canary")
        for name in ("../evil", "a/../../evil", "/evil", "//evil", "./../evil", UP + "evil", "a/" + UP + "evil",
                     canary, UP + canary, ".." + canary, "/../../" + canary, "a/./../..//evil"):
            with self.subTest(name):
                self.unpack([[entry("a/"), entry(name, b"pwned")]])

    def test_folders_that_lead_outside(self):
        for name in ("../", "a/../../", "/", UP, self.outside + "/", "../outside/", "..", "a/.."):
            with self.subTest(name):
                self.unpack([[entry(name, kind=tarfile.DIRTYPE, mode=0o777), entry("x", b"x")]])

    def test_writing_through_a_link(self):
        for target in (self.outside, UP + self.outside[1:], "../../outside", "/", ".."):
            name = "esc" + (self.outside if target == "/" else "") + "/canary"
            for between in ([], [link("esc2", "esc")]):
                for layers in (1, 2):
                    with self.subTest(target=target, between=bool(between), layers=layers):
                        first = [link("esc", target), *between]
                        last = [entry("esc2/canary" if between else name, b"pwned"), entry("esc/new", b"pwned"),
                                entry("esc/folder/", mode=0o777), hardlink("taken", "esc/canary")]
                        for step in last:
                            self.unpack([first + [step]] if layers == 1 else [first, [step]])

    def test_writing_through_a_link_at_the_file_itself(self):
        canary = os.path.join(self.outside, "canary")
        self.unpack([[link("file", canary), entry("file", b"pwned")]], refused=False)
        self.unpack([[link("file", canary)], [entry("file", b"pwned", mode=0o777)]], refused=False)
        self.unpack([[link("file", canary), hardlink("second", "file"), entry("second", b"pwned")]])

    def test_hard_links_to_outside(self):
        canary = os.path.join(self.outside, "canary")
        for target in (canary, "../../outside/canary", UP + canary[1:], "/../" + canary, "a/" + UP + canary[1:]):
            with self.subTest(target):
                self.unpack([[entry("a/"), hardlink("h", target), entry("h", b"pwned")]], refused=True, naming="h")

    def test_hard_links_through_links(self):
        self.unpack([[link("esc", self.outside), hardlink("h", "esc/canary")]], refused=True)
        self.unpack([[link("esc", "../../outside"), hardlink("h", "esc/canary")]], refused=True)
        self.unpack([[link("s", os.path.join(self.outside, "canary")), hardlink("h", "s"), entry("h", b"pwned")]])

    def test_hard_link_to_nothing_and_to_folders(self):
        self.unpack([[hardlink("h", "absent")]], refused=True)
        self.unpack([[hardlink("h", "h")]], refused=True)
        self.unpack([[entry("d/"), hardlink("h", "d")]], refused=True)
        self.unpack([[hardlink("h", ".")]], refused=True)
        self.unpack([[hardlink("h", "")]], refused=True)

    def test_folder_that_becomes_a_link(self):
        """A path that was looked up once may be another thing by now."""
        for layers in (1, 2):
            first = [entry("d/"), entry("d/e/"), entry("d/e/f", b"1")]
            second = [link("d", self.outside), entry("d/canary", b"pwned"), entry("d/folder/inner", b"pwned")]
            self.unpack([first + second] if layers == 1 else [first, second])
            third = [entry("d/.wh.e"), link("d/e", self.outside), entry("d/e/canary", b"pwned")]
            self.unpack([first + third] if layers == 1 else [first, third])

    def test_times_and_modes_through_links(self):
        self.unpack([[link("esc", self.outside), entry("esc", kind=tarfile.DIRTYPE, mode=0o777, mtime=5)]])
        self.unpack([[entry("d/"), entry("d/esc/", mode=0o777, mtime=5), link("d/esc", self.outside)]])

    def test_loops_of_links(self):
        self.unpack([[link("a", "b"), link("b", "a"), entry("a/x", b"x")]])
        self.unpack([[link("a", "a/a"), entry("a/x", b"x")]])

    def test_folders_that_are_swapped_meanwhile(self):
        """Somebody else exchanges folders of the target for links while it is unpacked: it may fail, but not outside."""
        folders = [f"d/e{i}/" for i in range(10)]
        first = [entry("d/")] + [e for f in folders for e in [entry(f)] + [entry(f"{f}f{i}", b"x" * 100) for i in range(60)]]
        second = [e for f in folders for e in [entry(f"{f}.wh.f{i}") for i in range(0, 60, 3)] + [hardlink(f"{f}h", f"{f}f1")]]
        layout = self.layout()
        layout.image([Layer(first), Layer(second)])
        name = os.path.basename(layout.folder) + ":latest"
        self.ok("load", "-q", "-i", layout.folder)
        os.makedirs(os.path.join(self.outside, "e0"))
        for i in range(60):
            self.write(f"outside/e0/f{i}", "stays")
        for _ in range(5):
            over = threading.Event()
            swapper = threading.Thread(target=self.swap, args=(over, [os.path.join(self.target, f[:-1]) for f in folders]))
            with self.unchanged():
                swapper.start()
                result = self.imgstore("unpack", "-q", name, self.target)
                over.set()
                swapper.join()
                self.assertIn(result.code, (0, 1), str(result))
                program.remove_tree(self.target)

    def swap(self, over, folders):
        number = 0
        while not over.is_set():
            folder = folders[number % len(folders)]
            number += 1
            try:
                os.rename(folder, folder + ".moved")
                os.symlink(self.outside + "/e0" if number % 2 else "../../../outside/e0", folder)
                time.sleep(0.001)
                os.unlink(folder)
                os.rename(folder + ".moved", folder)
            except OSError:
                pass  # it is not there yet, or was replaced

    def test_root_is_replaced(self):
        for make in (lambda n: entry(n, b"file"), lambda n: link(n, self.outside), lambda n: hardlink(n, "x"),
                     lambda n: entry(n, kind=tarfile.CHRTYPE, device=(1, 3)), lambda n: entry(n, kind=tarfile.FIFOTYPE)):
            for name in (".", "./", "/", "./.", "a/..", "..", "//"):
                with self.subTest(name):
                    self.unpack([[entry("x", b"x"), make(name)]])

    def test_empty_and_huge_names(self):
        self.unpack([[entry("", b"x")]], refused=True)
        self.unpack([[entry("x" * 300, b"x")]], refused=True)
        self.unpack([[entry("/".join("x" * 5000), b"x")]], refused=True)
        self.unpack([[entry("d/" * 511 + "f", b"x")]])
        self.unpack([[link("l", "t" * 5000)]], refused=True)


class Whiteouts(HostileCase):
    def test_outside(self):
        for name in ("../.wh.outside", UP + ".wh.tmp", "esc/.wh.canary", "esc/.wh.folder", "esc/.wh..wh..opq", "/.wh.etc",
                     self.outside + "/.wh.canary", "esc/folder/.wh.inner"):
            for target in (self.outside, "../../outside"):
                with self.subTest(name):
                    self.unpack([[link("esc", target)], [entry(name)]])
                    self.unpack([[link("esc", target), entry(name)]])

    def test_names_that_are_none(self):
        for name in (".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh...", "../.wh.", "d/../.wh.."):
            with self.subTest(name):
                self.unpack([[entry("d/"), entry("d/keep", b"k")], [entry(name)]], refused=True)

    def test_of_a_link_removes_the_link(self):
        self.unpack([[link("esc", self.outside)], [entry(".wh.esc")]], refused=False)
        self.assertTrue(os.path.exists(os.path.join(self.outside, "canary")))

    def test_opaque_where_a_link_is(self):
        self.unpack([[link("d", self.outside)], [entry("d/.wh..wh..opq"), entry("d/x", b"x")]])


class Kinds(HostileCase):
    def test_whiteout_device_is_never_planted(self):
        self.unpack([[entry("x", b"x")], [entry("x", kind=tarfile.CHRTYPE, device=(0, 0))]])

    def test_overlay_attributes_are_never_planted(self):
        for space in ("trusted", "user"):
            for name in ("opaque", "redirect", "metacopy", "whiteout"):
                self.unpack([[entry("d/", xattrs={f"{space}.overlay.{name}": "y"}), entry("f", b"x", xattrs={
                    f"{space}.overlay.{name}": "/etc"})]])

    def test_other_attributes(self):
        for name in ("security.selinux", "system.nonsense", "nonsense", "user." + "x" * 300, "trusted.any", "user."):
            with self.subTest(name):
                self.unpack([[entry("f", b"x", xattrs={name: "v"})]])
        self.unpack([[entry("f", b"x", xattrs={"user.big": "v" * 100000})]])

    def test_unknown_types(self):
        for kind in (b"8", b"Z", b"7", b"\xff"):
            self.unpack([[entry("x", b"x", kind=kind), entry("y", b"y")]])


def broken_layer(change, compression="gzip"):
    layer = Layer([entry("file", noise(100000))], compression)
    layer.blob = change(layer.blob)
    return layer


class Streams(HostileCase):
    def test_truncated_and_trailing(self):
        for compression in ("gzip", "zstd"):
            for change in (lambda b: b[:-1], lambda b: b[:-9], lambda b: b[:5], lambda b: b"", lambda b: b + b"junk",
                           lambda b: b + b"\0" * 100, lambda b: b[:2000] + bytes([b[2000] ^ 1]) + b[2001:]):
                self.unpack([broken_layer(change, compression)], refused=True)

    def test_wrong_trailer(self):
        self.unpack([broken_layer(lambda b: b[:-8] + b"\1\2\3\4" + b[-4:])], refused=True)
        self.unpack([broken_layer(lambda b: b[:-4] + b"\1\2\3\4")], refused=True)

    def test_members(self):
        """Several members are one stream."""
        tar = images.tar_of([entry("file", noise(5000))])
        layer = Layer(tar)
        layer.blob = gzip.compress(tar[:1000]) + gzip.compress(b"") + gzip.compress(tar[1000:])
        self.unpack([layer], refused=False)

    def test_compression_is_not_what_it_says(self):
        for says in ("gzip", "zstd", ""):
            for compression in ("gzip", "zstd", ""):
                if says != compression:
                    layer = Layer([entry("x", noise(2000))], compression)
                    layer.media_type = OCI_TAR + ("+" + says if says else "")
                    self.unpack([layer], refused=True)

    def test_diff_ids_of_another_algorithm(self):
        layout = self.layout()
        layer = Layer([entry("file", b"content")])
        layer.diff_id = "sha512:" + hashlib.sha512(gzip.decompress(layer.blob)).hexdigest()
        layout.image([layer])
        server = registry.StaticRegistry()
        self.addCleanup(server.stop)
        server.serve_layout(layout)
        self.ok("pull", "-q", f"{server.host}/app:latest")
        self.ok("unpack", "-q", f"{server.host}/app:latest", self.target)
        self.assertEqual(os.listdir(self.target), ["file"])
        program.remove_tree(self.target)
        layer.diff_id = layer.diff_id[:-1] + ("0" if layer.diff_id[-1] != "0" else "1")
        self.unpack([layer], refused=True, naming="diffID sha512:")

    def test_wrong_diff_id(self):
        layer = Layer([entry("x", b"x")])
        layer.diff_id = "sha256:" + "0" * 64
        self.unpack([layer], refused=True)
        self.unpack([Layer([entry("a", b"a")]), layer], refused=True)

    def test_wrong_diff_id_while_pulling(self):
        layout = self.layout()
        layer = Layer([entry("x", b"x")])
        layer.diff_id = "sha256:" + "0" * 64
        layout.image([layer])
        server = registry.StaticRegistry()
        self.addCleanup(server.stop)
        server.serve_layout(layout)
        with self.unchanged():
            self.fails("pull", "-q", "--unpack", self.target, f"{server.host}/app", naming="sha256:")
        self.assertFalse(os.path.exists(self.target))
        self.assertEqual(self.names(), [])

    def test_bombs(self):
        began = time.monotonic()
        tar = images.tar_of([entry("zeros", bytes(96 << 20))])
        self.unpack([Layer(tar, "zstd")], refused=True)
        self.assertLess(time.monotonic() - began, 20)

    def test_archives(self):
        good = images.tar_of([entry("file", noise(600)), entry("second", b"2")])
        header = bytearray(good[:512])

        def with_size(text):
            changed = bytearray(header)
            changed[124:136] = text
            changed[148:156] = b" " * 8
            changed[148:156] = b"%06o\0 " % sum(changed)
            return bytes(changed)

        for data in (good[:700], good[:1000], good[:511], bytes(512) + good, good[:100] + b"X" + good[101:],
                     with_size(b"77777777777\0") + bytes(1024), with_size(b"-0000000001\0") + bytes(1024),
                     with_size(b"\xff" * 12) + bytes(1024), with_size(b"\x80" + b"\xff" * 11) + bytes(1024),
                     with_size(b"99999999999\0") + bytes(1024), noise(2048), b"#!/bin/sh\n" * 200):
            self.unpack([Layer(data)], refused=True)

    def test_extended_headers(self):
        def pax(records, kind=tarfile.XHDTYPE):
            info, _ = entry("PaxHeader", records, kind=kind)
            info.pax_headers = {}
            return images.tar_of([(info, records)])[:512 + (len(records) + 511) // 512 * 512]

        end = images.tar_of([entry("file", b"x")])
        for records in (b"x", b"9 path=\n", b"999 path=x\n", b"-1 path=x\n", b"10 path=a\0\n", b"11 size=-1\n", b"12 path=xyz",
                        b"99999999999999999999 a=b\n", b"6 a=b", b"0 a=b\n", b"20 size=18446744073709551616\n"):
            with self.subTest(records):
                self.unpack([Layer(pax(records) + end)], refused=True)
        self.unpack([Layer(pax(b"x" * (2 << 20)) + end)], refused=True)
        self.unpack([Layer(b"".join(pax(b"8 x=aa\n\n"[:7]) for _ in range(50)) + end)], refused=True)
        name = b"../../../evil"
        record = b"%d path=%s\n" % (len(name) + 9, name)
        self.unpack([Layer(pax(record) + end)])


class Documents(HostileCase):
    def manifest(self, **changes):
        config = json.dumps({"architecture": images.ARCHITECTURE, "os": "linux",
                             "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [], "config": {
            "mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)}}
        document.update(changes)
        return {k: v for k, v in document.items() if v is not None}, [config]

    def manifest_refused(self, naming="sha256:|latest", **changes):
        document, blobs = self.manifest(**changes)
        self.document(document, naming=naming, blobs=blobs)

    def test_the_base_is_good(self):
        document, blobs = self.manifest()
        layout = self.layout()
        layout.blob(blobs[0], "x")
        layout.add(layout.blob(document, OCI_MANIFEST), "latest")
        self.ok("load", "-q", "-i", layout.folder)

    def test_digests(self):
        good = "sha256:" + "ab" * 32
        for digest in ("sha256:../../../../etc/passwd", "sha256:" + "../" * 21 + "x", good.upper(), "sha256:" + "AB" * 32,
                       "sha256:abc", "sha256:" + "a" * 65, "md5:" + "a" * 32, good + "/..", "sha256:" + "g" * 64, "", "sha256:",
                       "..", good + "\n", good + "\u0000", "sha512:" + "a" * 64, "sha256:" + "a" * 63 + "/"):
            with self.subTest(digest):
                self.manifest_refused(layers=[{"mediaType": OCI_TAR, "digest": digest, "size": 5}])
                self.manifest_refused(config={"mediaType": OCI_CONFIG, "digest": digest, "size": 5})

    def test_sizes(self):
        blob = noise(100)
        for size in (-1, 99, 101, 1.5, "100", None, 2 ** 53 + 1, 2 ** 64, 2 ** 63, True, 1e30):
            with self.subTest(size):
                document, blobs = self.manifest(layers=[{"mediaType": OCI_TAR, "digest": digest_of(blob), "size": size}])
                self.document(document, naming="sha256:|latest", blobs=[*blobs, blob])

    def test_confused_documents(self):
        self.manifest_refused(manifests=[])
        self.manifest_refused(manifests=None, layers=None)
        self.manifest_refused(config=None)
        self.manifest_refused(mediaType=OCI_INDEX)
        self.manifest_refused(layers={})
        self.manifest_refused(layers=[1])
        self.manifest_refused(config=[])
        self.manifest_refused(schemaVersion=3)
        document, blobs = self.manifest()
        self.document(document, OCI_INDEX, blobs=blobs)
        self.document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "config": {}}, OCI_INDEX)
        self.document({"schemaVersion": 2, "manifests": []}, OCI_MANIFEST)

    def test_schema_1(self):
        document = {"schemaVersion": 1, "name": "app", "tag": "latest", "architecture": "amd64", "fsLayers": [], "history": [],
                    "signatures": []}
        self.document(document, DOCKER_SCHEMA_1, naming="schema 1")
        self.document(document, "application/vnd.docker.distribution.manifest.v1+json", naming="schema 1")

    def test_json(self):
        document, blobs = self.manifest()
        text = json.dumps(document).encode()
        inner = text[1:-1]
        for data in (b"", b"{", b"[]", b"null", text + b"x", text + text, b"\xef\xbb\xbf" + text, b"{" + inner + b",}",
                     b"{" + inner + b',"layers":[]}', b"{" + inner + b',"Layers":[]}', b"{" + inner + b',"x":"\xff"}',
                     b"{" + inner + b',"x":"\\u0000"}', b"{" + inner + b',"x":"\n"}', b"{" + inner + b',"x":01}',
                     b"{" + inner + b',"x":' + b"[" * 100 + b"]" * 100 + b"}",
                     b"{" + inner + b',"x":' + b"[" * 200000 + b"}",
                     b"{" + inner + b',"x":' + b'{"a":' * 100000 + b"1" + b"}" * 100000 + b"}",
                     b"{" + inner + b',"x":[' + b"0," * 1000000 + b"0]}",
                     b"{" + inner + b',"x":NaN}', b"{" + inner + b",'x':1}", text.replace(b"2", b"2e0"),
                     text.decode().encode("utf-16")):
            with self.subTest(data[:80] + b"..." + data[-40:]):
                self.document(data, blobs=blobs, naming="latest|sha256:")

    def test_document_over_the_limit(self):
        document, blobs = self.manifest(annotations={"x": "y" * (5 << 20)})
        self.document(document, blobs=blobs)

    def test_too_many_layers(self):
        layer = {"mediaType": OCI_TAR, "digest": digest_of(b"x"), "size": 1}
        self.manifest_refused(layers=[layer] * 1025)

    def test_configs(self):
        for config in (b"{}", b"[]", b"", b'{"rootfs":{"type":"layers","diff_ids":["sha256:../x"]}}', b"{" * 100,
                       b'{"rootfs":{"type":"layers","diff_ids":5}}', b'{"rootfs":5}', b'{"config":{"Env":5}}',
                       json.dumps({"architecture": "amd64", "os": "linux",
                                   "rootfs": {"type": "layers", "diff_ids": [digest_of(b"x")]}}).encode()):
            with self.subTest(config):
                layout = self.layout()
                layout.blob(config, "x")
                document, _ = self.manifest(layers=[{"mediaType": OCI_TAR, "digest": digest_of(b"x"), "size": 1}] * 2, config={
                    "mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)})
                layout.blob(b"x", "x")
                layout.add(layout.blob(document, OCI_MANIFEST), "latest")
                self.refused(layout, "sha256:|latest")

    def test_number_of_layers(self):
        layer = Layer([entry("x", b"x")])
        for count in (0, 2):
            layout = self.layout()
            layout.image([layer], config={"rootfs": {"type": "layers", "diff_ids": [layer.diff_id] * count}})
            self.refused(layout, "sha256:|latest")

    def test_data_that_is_not_the_content(self):
        document, blobs = self.manifest()
        document["config"]["data"] = "bm90IHRoaXM="
        self.document(document, blobs=blobs, naming="sha256:|latest")

    def test_content_that_is_not_the_digest(self):
        layout = images.simple(self.path("lying"), 1)
        manifest = json.loads(layout.read(layout.entries[0]["digest"]))
        for digest in (manifest["config"]["digest"], manifest["layers"][0]["digest"], layout.entries[0]["digest"]):
            honest = layout.read(digest)
            layout.write(os.path.join("blobs", *digest.split(":")), honest[:-1] + bytes([honest[-1] ^ 1]))
            self.refused(layout, f"{digest}|app:latest")
            layout.write(os.path.join("blobs", *digest.split(":")), honest)

    def test_nested_indexes(self):
        layout = self.layout()
        descriptor = layout.manifest([])
        for _ in range(12):
            descriptor = layout.blob({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}, OCI_INDEX)
        layout.add(descriptor, "latest")
        self.refused(layout)

    def test_index_with_a_liar(self):
        layout = self.layout()
        descriptor = layout.manifest([])
        for change in ({"size": descriptor["size"] + 1}, {"digest": "sha256:" + "1" * 64}, {"mediaType": OCI_INDEX},
                       {"size": 10 ** 12}, {"digest": "sha256:../../x"}):
            wrong = {**descriptor, "platform": {"os": "linux", "architecture": images.ARCHITECTURE}, **change}
            self.document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [wrong]}, OCI_INDEX,
                          blobs=[layout.read(descriptor["digest"])])

    def test_text_for_the_terminal(self):
        """Names and labels are data: nothing drives the terminal."""
        evil = "\x1b]0;owned\x07\x1b[2J\u202e\r\n"
        layout = self.layout()
        layout.image([], config={"author": evil, "config": {"Labels": {evil: evil}, "Cmd": [evil]}, "created": None,
                                 "history": [{"created_by": evil, "comment": evil, "empty_layer": True}]})
        self.ok("load", "-q", "-i", layout.folder)
        name = os.path.basename(layout.folder) + ":latest"
        for line in (["ls"], ["history", name], ["history", "--no-trunc", name], ["inspect", name], ["du"],
                     ["history", "--format", "json", name]):
            out = self.ok(*line)
            for character in ("\x1b", "\x07", "\r"):
                self.assertNotIn(character, out, line)

    def test_index_of_a_layout(self):
        layout = images.simple(self.path("base"), 1)
        entry_of = layout.entries[0]
        for change in ({"digest": "sha256:../../../etc/passwd"}, {"size": -5}, {"size": entry_of["size"] + 1},
                       {"annotations": {images.REF_NAME: "../../evil"}}, {"annotations": {images.REF_NAME: "\x1b[2J"}},
                       {"annotations": {images.REF_NAME: "x" * 5000}}, {"mediaType": 5}):
            layout.entries = [{**entry_of, **change}]
            layout.save()
            with self.subTest(change), self.unchanged():
                result = self.imgstore("load", "-q", "-i", layout.folder)
                self.assertIn(result.code, (0, 1), str(result))
                self.assertNotIn("\x1b", result.out + result.err)
                if result.code == 0:
                    self.assertTrue("annotations" in change, str(result))
        for text in (b"", b"{", b"[]", b'{"manifests":5}', b'{"manifests":[5]}', b"[" * 100000):
            layout.write("index.json", text)
            with self.unchanged():
                self.fails("load", "-q", "-i", layout.folder)

    def test_layout_with_links(self):
        """A layout's blob may be anything but a link to somewhere else."""
        layout = images.simple(self.path("linked"), 1)
        manifest = json.loads(layout.read(layout.entries[0]["digest"]))
        blob = os.path.join(layout.folder, "blobs", "sha256", manifest["layers"][0]["digest"][7:])
        for replace in (lambda: os.mkfifo(blob), lambda: os.mkdir(blob), lambda: os.symlink("/dev/zero", blob),
                        lambda: os.symlink(blob, blob)):
            os.rmdir(blob) if os.path.isdir(blob) and not os.path.islink(blob) else os.unlink(blob)
            replace()
            with self.unchanged():
                self.fails("load", "-q", "-i", layout.folder, naming=manifest["layers"][0]["digest"], timeout=10)


class Targets(HostileCase):
    """What stands where an image is to be unpacked stays as it is."""

    def setUp(self):
        super().setUp()
        self.ok("load", "-q", "-i", images.simple(self.path("layout"), 1).folder)

    def test_folder_that_is_not_empty(self):
        os.mkdir(self.target)
        with open(os.path.join(self.target, "mine"), "w", encoding="ascii"):
            pass
        with self.unchanged():
            self.fails("unpack", "-q", "layout:latest", self.target, naming="target")
        self.assertEqual(os.listdir(self.target), ["mine"])

    def test_file_and_links(self):
        self.write("box/target", "mine")
        self.fails("unpack", "-q", "layout:latest", self.target, naming="target")
        os.unlink(self.target)
        os.symlink(os.path.join(self.outside, "canary"), self.target)
        with self.unchanged():
            self.fails("unpack", "-q", "layout:latest", self.target)
        os.unlink(self.target)
        self.fails("unpack", "-q", "layout:latest", os.path.join(self.box, "no", "parent"))

    def test_empty_folder_is_used_and_kept(self):
        os.mkdir(self.target)
        self.ok("unpack", "-q", "layout:latest", self.target)
        self.assertEqual(os.listdir(self.target), ["data"])

    def test_empty_folder_after_a_failure(self):
        layout = self.layout()
        layout.image([Layer([entry("a", b"a"), hardlink("b", "absent")])])
        self.ok("load", "-q", "-i", layout.folder, "--rename", "bad:1")
        os.mkdir(self.target)
        self.fails("unpack", "-q", "bad:1", self.target)
        self.assertEqual(os.listdir(self.target) if os.path.exists(self.target) else [], [])


if __name__ == "__main__":
    program.main(["zstd"])
