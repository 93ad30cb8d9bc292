"""Credentials: a real registry with htpasswd, token flows of the fault server, and where secrets may not appear."""
import base64
import json
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry

USER, PASSWORD = "alice", "p4ss:w0rd/ with=signs"
IDENTITY = "identity-secret"  # what faultserver.py takes
SECRETS = (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), IDENTITY)

SHARED = {}


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-auth-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    line = program.run_tool("htpasswd", "-nbB", "-C", "4", USER, PASSWORD).decode().strip()
    passwords = os.path.join(folder, "htpasswd")
    with open(passwords, "w", encoding="ascii") as file:
        file.write(line + "\n")
    SHARED["layout"] = images.simple(os.path.join(folder, "layout"))
    SHARED["registry"] = registry.Registry(os.path.join(folder, "registry"), htpasswd=passwords)
    unittest.addModuleCleanup(SHARED["registry"].stop)
    for repository in ("app", "team/app"):
        SHARED["registry"].push(SHARED["layout"].folder, "latest", repository, options=["--dest-creds", f"{USER}:{PASSWORD}"])


class AuthCase(program.Case):
    def setUp(self):
        super().setUp()
        self.registry = SHARED["registry"]
        self.image = self.registry.name("app")
        self.config = os.path.join(self.home, ".docker")
        os.mkdir(self.config)

    def imgstore(self, *arguments, **more):
        result = super().imgstore(*arguments, **more)
        for secret in SECRETS:
            self.assertNotIn(secret, result.err + result.out)
        return result

    def write_config(self, content, name="config.json"):
        with open(os.path.join(self.config, name), "w", encoding="ascii") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return os.path.join(self.config, name)

    def read_config(self):
        with open(os.path.join(self.config, "config.json"), encoding="ascii") as file:
            return json.load(file)

    @staticmethod
    def auths(key, user=USER, password=PASSWORD):
        return {"auths": {key: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}}

    def login(self, password=PASSWORD, user=USER, host=None, **more):
        return self.imgstore("login", "-u", user, "--password-stdin", host or self.registry.host,
                             data=password.encode() + b"\n", **more)

    def helper(self, name, body):
        """A credential helper in a folder that stands in PATH."""
        folder = self.path("helpers")
        os.makedirs(folder, exist_ok=True)
        self.write(f"helpers/docker-credential-{name}", "#!/bin/sh\n" + body, 0o755)
        return {"PATH": folder + ":" + os.environ["PATH"]}


class Basic(AuthCase):
    def test_no_credentials(self):
        self.fails("pull", "-q", self.image, naming=re.escape(self.registry.host))
        self.fails("tags", f"{self.registry.host}/app", naming=re.escape(self.registry.host))
        self.assertEqual(self.names(), [])

    def test_wrong_password(self):
        result = self.login("wrong")
        self.assertEqual(result.code, 1, str(result))
        self.assertEqual(len(result.err.splitlines()), 1, str(result))
        self.assertFalse(os.path.exists(os.path.join(self.config, "config.json")))
        self.write_config(self.auths(self.registry.host, password="wrong"))
        self.fails("pull", "-q", self.image, naming=re.escape(self.registry.host))

    def test_login_pull_logout(self):
        result = self.login()
        self.assertEqual((result.code, result.out), (0, "Login Succeeded\n"), str(result))
        self.assertEqual(os.stat(os.path.join(self.config, "config.json")).st_mode & 0o777, 0o600)
        self.assertIn(self.registry.host, self.read_config()["auths"])
        self.assertEqual(self.ok("pull", "-q", self.image), self.image + "\n")
        self.assertEqual(self.ok("tags", f"{self.registry.host}/app"), "latest\n")
        self.assertIn(self.registry.host, self.ok("logout", self.registry.host))
        self.assertNotIn(self.registry.host, self.read_config().get("auths", {}))
        self.fails("pull", "-q", self.image, root=self.path("other"))

    def test_login_that_skopeo_understands(self):
        self.assertEqual(self.login().code, 0)
        program.run_tool("skopeo", "inspect", "--tls-verify=false", "--authfile", os.path.join(self.config, "config.json"),
                         f"docker://{self.image}")

    def test_login_keeps_what_it_does_not_know(self):
        self.write_config({"auths": {"example.org": {"auth": "eDp5"}}, "HttpHeaders": {"X": "1"}, "psFormat": "table"})
        self.assertEqual(self.login().code, 0)
        config = self.read_config()
        self.assertEqual((config["HttpHeaders"], config["psFormat"]), ({"X": "1"}, "table"))
        self.assertEqual(set(config["auths"]), {"example.org", self.registry.host})
        self.ok("logout", self.registry.host)
        self.assertEqual(set(self.read_config()["auths"]), {"example.org"})

    def test_config_option(self):
        other = self.path("elsewhere")
        os.mkdir(other)
        with open(os.path.join(other, "config.json"), "w", encoding="ascii") as file:
            json.dump(self.auths(self.registry.host), file)
        self.fails("pull", "-q", self.image)
        self.ok("pull", "-q", "--config", other, self.image)

    def test_auth_file_by_repository(self):
        path = self.write_config(self.auths(f"{self.registry.host}/team"), "auth.json")
        self.fails("pull", "-q", "--auth-file", path, self.image)
        self.ok("pull", "-q", "--auth-file", path, self.registry.name("team/app"))
        self.ok("pull", "-q", self.registry.name("team/app"), root=self.path("other"), env={"REGISTRY_AUTH_FILE": path})

    def test_auth_file_of_the_session(self):
        os.makedirs(self.path("run", "containers"))
        self.write("run/containers/auth.json", json.dumps(self.auths(self.registry.host)))
        self.ok("pull", "-q", self.image, env={"XDG_RUNTIME_DIR": self.path("run")})

    def test_broken_config(self):
        for content in ("{", "[]", '{"auths": 1}', '{"auths": {"%s": {"auth": "!!"}}}' % self.registry.host):
            with self.subTest(content):
                self.write_config(content)
                self.fails("pull", "-q", self.image)

    def test_debug_output_has_no_secret(self):
        self.write_config(self.auths(self.registry.host))
        result = self.imgstore("--debug", "pull", self.image)  # imgstore() looks for the secrets
        self.assertEqual(result.code, 0, str(result))
        self.assertIn("debug", result.err)


class Helpers(AuthCase):
    def answer(self, user=USER, secret=PASSWORD):
        return f"""cat > "$0.asked"; echo "$1" > "$0.verb"; printf '%s' '{json.dumps({"ServerURL": "x", "Username": user, "Secret": secret})}'"""

    def asked(self, name):
        with open(self.path("helpers", f"docker-credential-{name}.asked"), encoding="ascii") as file:
            return file.read().strip()

    def test_for_one_host(self):
        env = self.helper("fake", self.answer())
        self.write_config({"credHelpers": {self.registry.host: "fake"}})
        self.ok("pull", "-q", self.image, env=env)
        self.assertEqual(self.asked("fake"), self.registry.host)

    def test_for_all_hosts(self):
        env = self.helper("everything", self.answer())
        self.write_config({"credsStore": "everything"})
        self.ok("pull", "-q", self.image, env=env)

    def test_login_and_logout_keep_nothing_in_the_file(self):
        env = self.helper("keep", 'cat > "$0.$1"')
        self.write_config({"credsStore": "keep"})
        self.assertEqual(self.login(env=env).code, 0)
        with open(self.path("helpers", "docker-credential-keep.store"), encoding="ascii") as file:
            self.assertEqual(json.load(file), {"ServerURL": self.registry.host, "Username": USER, "Secret": PASSWORD})
        self.assertNotIn(PASSWORD, json.dumps(self.read_config()))
        self.ok("logout", self.registry.host, env=env)
        self.assertTrue(os.path.exists(self.path("helpers", "docker-credential-keep.erase")))

    def test_broken_ones_fail_the_pull(self):
        # Not "credentials not found", which is the helper's way to say that there are none.
        for body in ("exit 1", "echo nonsense", "echo '{}'", "kill -9 $$", 'echo \'{"Username":"u"}\'', "yes"):
            with self.subTest(body):
                env = self.helper("broken", body)
                self.write_config({"credHelpers": {self.registry.host: "broken"}})
                self.fails("pull", "-q", self.image, env=env, naming="broken")
        self.write_config({"credHelpers": {self.registry.host: "absent"}})
        self.fails("pull", "-q", self.image, naming="absent")
        self.write_config({"credHelpers": {self.registry.host: "../evil"}})
        self.fails("pull", "-q", self.image)

    def test_one_without_credentials(self):
        env = self.helper("none", "echo 'credentials not found in native keychain'; exit 1")
        self.write_config({"credHelpers": {self.registry.host: "none"}})
        self.fails("pull", "-q", self.image, env=env, naming=re.escape(self.registry.host))


class Tokens(AuthCase):
    """Bearer flows of the fault server. Its user is user:secret."""

    def serve(self, *options):
        server = registry.FaultServer(self.path("server"), SHARED["layout"].folder, *options)
        self.addCleanup(server.stop)
        self.addCleanup(lambda: self.assertEqual(server.failures(), []))
        return server

    def test_anonymous(self):
        server = self.serve()
        self.ok("pull", "-q", server.name("401-token"))
        self.assertEqual([line for line in server.lines() if line["path"].startswith("/token") and line["authorization"]], [])

    def test_one_token_for_all_requests(self):
        server = self.serve()
        self.ok("pull", "-q", server.name("401-token"))
        self.assertLessEqual(len([line for line in server.lines() if line["path"].startswith("/token")]), 2)

    def test_with_credentials(self):
        server = self.serve()
        self.write_config(self.auths(server.host, "user", "secret"))
        self.ok("pull", "-q", server.name("401-token"))
        self.assertTrue([line for line in server.lines() if line["path"].startswith("/token") and line["authorization"]])

    def test_with_wrong_credentials(self):
        server = self.serve()
        self.write_config(self.auths(server.host, "user", "wrong"))
        self.fails("pull", "-q", server.name("401-token"), naming=re.escape(server.host))

    def test_identity_token(self):
        server = self.serve()
        self.write_config({"auths": {server.host: {"identitytoken": IDENTITY}}})
        self.ok("pull", "-q", server.name("identity"))

    def test_identity_token_of_a_helper(self):
        server = self.serve()
        env = self.helper("token", f"""cat > /dev/null; echo '{{"Username":"<token>","Secret":"{IDENTITY}"}}'""")
        self.write_config({"credHelpers": {server.host: "token"}})
        self.ok("pull", "-q", server.name("identity"), env=env)

    def test_token_that_expires_on_the_way(self):
        """The server's tokens live two seconds; the layers take longer."""
        layout = images.simple(self.path("layout"), 3, size=40)
        server = registry.FaultServer(self.path("s2"), layout.folder, "--scenario", "401-token", "429", "--fail-count", 3,
                                      "--retry-after", 1)
        self.addCleanup(server.stop)
        self.ok("pull", "-q", server.name("plain"))

    def test_redirect_carries_no_credential(self):
        for scenarios in (["401-token", "redirect"], ["basic", "redirect"]):
            server = self.serve("--scenario", *scenarios)
            self.write_config(self.auths(server.host, "user", "secret"))
            self.ok("pull", "-q", server.name("plain"), root=self.path("-".join(scenarios)))
            presigned = [line for line in server.lines() if line["path"].startswith("/presigned")]
            self.assertTrue(presigned)
            self.assertEqual([line for line in presigned if line["authorization"]], [])
            self.assertEqual(server.failures(), [])
            server.stop()


if __name__ == "__main__":
    program.main(["docker-registry", "skopeo", "htpasswd"])
