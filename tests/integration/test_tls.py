"""TLS against Debian's docker-registry: authorities, client certificates, and when plain http is spoken."""
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry

SHARED = {}


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-tls-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    authority = registry.Authority(os.path.join(folder, "ca"))
    pair = authority.sign("server")
    SHARED.update(authority=authority, client=authority.sign("client", "", "clientAuth"),
                  stranger=registry.Authority(os.path.join(folder, "other"), "other"))
    SHARED["wrong_host"] = authority.sign("wrong", "DNS:example.org")
    layout = images.simple(os.path.join(folder, "layout")).folder
    for name, more in (("plain", {}), ("tls", {"tls": pair}), ("mutual", {"tls": pair, "client_ca": authority.cert}),
                       ("wrong", {"tls": SHARED["wrong_host"]})):
        SHARED[name] = registry.Registry(os.path.join(folder, name), **more)
        unittest.addModuleCleanup(SHARED[name].stop)
    certs = os.path.join(folder, "certs")
    os.mkdir(certs)
    for source, name in ((SHARED["client"][0], "client.cert"), (SHARED["client"][1], "client.key"), (authority.cert, "ca.crt")):
        shutil.copy(source, os.path.join(certs, name))
    for name in ("plain", "tls", "mutual", "wrong"):
        SHARED[name].push(layout, "latest", "app", options=["--dest-cert-dir", certs])


class TlsCase(program.Case):
    def setUp(self):
        super().setUp()
        self.ca = SHARED["authority"].cert
        self.client = ["--cert", SHARED["client"][0], "--key", SHARED["client"][1]]

    def pulls(self, which, *options, name=None):
        name = name or SHARED[which].name("app")
        self.assertEqual(self.ok("pull", "-q", *options, name), name + "\n")
        self.assert_sound()

    def refused(self, which, *options, name=None):
        """The pull fails, names the host, and no request came through: neither by TLS nor without."""
        server = SHARED[which]
        before = len(server.requests())
        line = self.fails("pull", "-q", *options, name or server.name("app"), naming=str(server.port))
        self.assertEqual(server.requests()[before:], [])
        self.assertEqual(self.names(), [])
        return line

    def certs_dir(self, host, **files):
        folder = self.path("certs.d", host)
        os.makedirs(folder)
        for name, source in files.items():
            shutil.copy(source, os.path.join(folder, name.replace("_", ".")))
        return ["--certs-dir", self.path("certs.d")]


class Servers(TlsCase):
    def test_authority(self):
        self.pulls("tls", "--ca", self.ca)

    def test_authority_by_name(self):
        self.pulls("tls", "--ca", self.ca, name=f'localhost:{SHARED["tls"].port}/app:latest')

    def test_authority_in_certs_d(self):
        self.pulls("tls", *self.certs_dir(SHARED["tls"].host, ca_crt=self.ca))

    def test_unknown_authority(self):
        self.assertRegex(self.refused("tls"), "certificate")
        self.refused("tls", "--ca", SHARED["stranger"].cert)

    def test_certs_d_of_another_host(self):
        self.refused("tls", *self.certs_dir("127.0.0.1:1", ca_crt=self.ca))

    def test_certificate_of_another_host(self):
        self.refused("wrong", "--ca", self.ca)

    def test_unchecked_on_request_only(self):
        self.pulls("tls", "--insecure-tls")
        self.ok("pull", "-q", "--insecure-tls", SHARED["wrong"].name("app"))

    def test_files_that_are_none(self):
        for content in (b"", b"not a certificate\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            self.refused("tls", "--ca", self.write("bad.pem", content))
        self.refused("tls", "--ca", self.path("absent.pem"))


class Clients(TlsCase):
    def test_certificate(self):
        self.pulls("mutual", "--ca", self.ca, *self.client)

    def test_certificate_in_certs_d(self):
        self.pulls("mutual", *self.certs_dir(SHARED["mutual"].host, ca_crt=self.ca, client_cert=SHARED["client"][0],
                                             client_key=SHARED["client"][1]))

    def test_none(self):
        self.refused("mutual", "--ca", self.ca)
        self.refused("mutual", "--insecure-tls")

    def test_one_that_the_server_does_not_know(self):
        cert, key = SHARED["stranger"].sign("nobody", "", "clientAuth")
        self.refused("mutual", "--ca", self.ca, "--cert", cert, "--key", key)

    def test_key_of_another(self):
        self.refused("mutual", "--ca", self.ca, "--cert", SHARED["client"][0], "--key", SHARED["wrong_host"][1])


class Recorder:
    """Listens, keeps the first bytes of each connection, answers with what it is given and closes."""

    def __init__(self, case, answer=b""):
        self.first, self.answer = [], answer
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        case.addCleanup(self.socket.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self.first.append(connection.recv(4096))
                    connection.sendall(self.answer)
                except OSError:
                    pass


class Fallback(TlsCase):
    def test_loopback_without_tls(self):
        self.pulls("plain")
        self.pulls("plain", name=f'localhost:{SHARED["plain"].port}/app:latest')

    def test_tls_is_tried_first(self):
        recorder = Recorder(self, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.fails("pull", "-q", "--retries", 1, "--timeout", 2, f"{recorder.host}/app", naming=re.escape(recorder.host))
        self.assertEqual(recorder.first[0][:2], b"\x16\x03")  # a TLS record with a handshake
        self.assertTrue(any(first.startswith((b"GET", b"HEAD")) for first in recorder.first), recorder.first)

    def test_plain_http_on_request(self):
        recorder = Recorder(self, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.fails("pull", "-q", "--retries", 1, "--plain-http", f"{recorder.host}/app")
        self.assertTrue(all(first.startswith((b"GET", b"HEAD")) for first in recorder.first), recorder.first)
        self.pulls("plain", "--plain-http")

    def test_no_fallback_after_a_tls_alert(self):
        recorder = Recorder(self, b"\x15\x03\x03\x00\x02\x02\x28")  # handshake failure
        self.fails("pull", "-q", "--retries", 1, "--timeout", 2, f"{recorder.host}/app")
        self.assertEqual([f for f in recorder.first if f.startswith((b"GET", b"HEAD"))], [])

    def test_certificate_failure_never_falls_back(self):
        self.refused("tls")  # looks at the registry's log

    def test_plain_http_to_a_tls_server_is_an_error(self):
        self.fails("pull", "-q", "--retries", 0, "--plain-http", SHARED["tls"].name("app"))

    def test_nobody_listens(self):
        port = registry.free_port()
        self.fails("pull", "-q", "--retries", 0, f"127.0.0.1:{port}/app", naming=str(port))

    def test_login_by_tls_only(self):
        result = self.imgstore("login", "-u", "me", "--password-stdin", SHARED["tls"].host, data=b"secret\n")
        self.assertEqual(result.code, 1, str(result))


if __name__ == "__main__":
    program.main(["docker-registry", "skopeo", "openssl"])
