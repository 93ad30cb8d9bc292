"""What a registry has: catalog, tags, deletions, copies of tags, rights; with docker-registry and one of ours."""
import base64
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry
import scope_registry

SHARED = {}
MANIFEST = (b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:'
            + b"a" * 64 + b'","size":2},"layers":[]}')


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-manage-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    layout = images.simple(os.path.join(folder, "layout"), 1, size=10)
    SHARED["layout"] = layout.folder
    htpasswd = os.path.join(folder, "htpasswd")
    with open(htpasswd, "wb") as file:
        file.write(program.run_tool("htpasswd", "-nbB", "-C", "4", "user", "secret"))
    for name, options in (("plain", {"delete": True}), ("no-delete", {}), ("login", {"delete": True, "htpasswd": htpasswd})):
        SHARED[name] = registry.Registry(os.path.join(folder, name), **options)
        unittest.addModuleCleanup(SHARED[name].stop)


class ManageCase(program.Case):
    def misused(self, *arguments, naming):
        result = self.imgstore(*arguments)
        self.assertEqual(result.code, 2, str(result))
        self.assertIn(naming, result.err)


class Debian(ManageCase):
    """docker-registry: deletes by digest only, and only when it is told to."""

    def setUp(self):
        super().setUp()
        self.registry = SHARED["plain"]
        self.repository = "t/" + self.id().rsplit(".", 1)[-1].replace("_", "-")

    def push(self, *tags, to="plain"):
        for tag in tags:
            SHARED[to].push(SHARED["layout"], "latest", self.repository, tag)

    def name(self, tag="1", at="plain"):
        return SHARED[at].name(self.repository, tag)

    def tags(self):
        return sorted(self.ok("tags", f"{self.registry.host}/{self.repository}").split())

    def test_catalog(self):
        self.push("1")
        self.assertIn(self.repository, self.ok("catalog", self.registry.host).splitlines())
        lines = [json.loads(line) for line in self.ok("catalog", "--format", "json", self.registry.host).splitlines()]
        self.assertIn({"Host": self.registry.host, "Repository": self.repository}, lines)

    def test_tags_as_json(self):
        self.push("1")
        line = self.ok("tags", "--format", "json", f"{self.registry.host}/{self.repository}")
        self.assertEqual(json.loads(line), {"Host": self.registry.host, "Repository": self.repository, "Tag": "1"})

    def test_copy_a_tag(self):
        self.push("1")
        self.assertEqual(self.ok("tag", "--remote", self.name(), "stable"), self.name("stable") + "\n")
        self.ok("tag", "--remote", self.name(), self.name("2"))
        self.assertEqual(self.tags(), ["1", "2", "stable"])
        self.ok("pull", "-q", self.name("stable"))
        self.ok("pull", "-q", self.name())
        lines = [json.loads(line) for line in self.ok("ls", "--digests", "--format", "json").splitlines()]
        self.assertEqual(len({line["Digest"] for line in lines}), 1, lines)
        self.misused("tag", "--remote", self.name(), "127.0.0.1:1/x/y:1", naming="stays in one repository")
        self.fails("tag", "--remote", self.name("none"), "x", naming=self.name("none"))

    def test_a_tag_does_not_go_alone(self):
        self.push("1", "2")
        line = self.fails("rm", "--remote", self.name(), naming=[self.name(), "sha256:[0-9a-f]{64}", "every tag"])
        self.assertEqual(self.tags(), ["1", "2"], line)
        out = self.ok("rm", "--remote", "--force", self.name())
        self.assertRegex(out, f"^Untagged: {self.name()}\nDeleted: {self.registry.host}/{self.repository}@sha256:[0-9a-f]+\n$")
        self.assertEqual(self.tags(), [])
        self.fails("rm", "--remote", "--force", self.name(), naming="not found")

    def test_delete_by_digest(self):
        self.push("1")
        digest = self.digest()
        self.assertEqual(self.ok("rm", "--remote", f"{self.registry.host}/{self.repository}@{digest}"),
                         f"Deleted: {self.registry.host}/{self.repository}@{digest}\n")
        self.fails("rm", "--remote", f"{self.registry.host}/{self.repository}@{digest}", naming="not found")

    def digest(self):
        self.ok("pull", "-q", self.name())
        return json.loads(self.ok("ls", "--digests", "--format", "json").splitlines()[0])["Digest"]

    def test_not_allowed(self):
        self.push("1", to="no-delete")
        name = self.name(at="no-delete")
        self.fails("rm", "--remote", "-f", name, naming=[name, "does not allow deleting"])
        self.fails("rm", "--remote", name, naming="does not delete a tag alone")

    def test_a_tag_must_be_given(self):
        self.misused("rm", "--remote", f"{self.registry.host}/{self.repository}", naming="wants a tag or a digest")

    def test_several(self):
        self.push("1")
        result = self.imgstore("rm", "--remote", "-f", self.name("none"), self.name("1"))
        self.assertEqual(result.code, 1, str(result))
        self.assertIn(f"Untagged: {self.name('1')}", result.out)

    def test_access(self):
        result = self.imgstore("access", self.name(at="no-delete").rsplit(":", 1)[0])
        self.assertEqual(result.code, 1)
        self.assertEqual(result.out, "pull    yes\npush    yes\ndelete  no  (this registry does not allow deleting)\n")
        self.ok("access", "--need", "pull,push", self.name(at="no-delete").rsplit(":", 1)[0])
        self.ok("access", self.name().rsplit(":", 1)[0])
        self.misused("access", "--need", "all", self.name(), naming="not all")

    def test_login(self):
        host = SHARED["login"].host
        self.fails("catalog", host, naming=[f"catalog of {host}", "wants a user name and password"])
        self.fails("access", f"{host}/a/b", naming="wants a user name")
        self.ok("login", "-u", "user", "-p", "secret", host)
        self.ok("catalog", host)
        self.ok("access", f"{host}/a/b")
        self.fails("rm", "--remote", "-f", f"{host}/a/b:1", naming=f"{host}/a/b:1: not found")


class Scopes(ManageCase):
    """A token service that grants what it likes."""

    def serve(self, **options):
        site = scope_registry.ScopeRegistry({"a/b": {"pull", "push", "delete"}, "r/o": {"pull"}, "n/o": set()}, **options)
        self.addCleanup(site.stop)
        site.manifests = {"a/b": {"1": MANIFEST}, "c": {}, "d/e": {}, "f": {}, "g": {}}
        self.site = site
        return site

    def login(self):
        self.ok("login", "-u", "user", "-p", "secret", self.site.host)

    def rights(self, repository, *options):
        result = self.imgstore("access", "--format", "json", *options, f"{self.site.host}/{repository}")
        rights = [json.loads(line) for line in result.out.splitlines()]
        self.assertEqual(result.code, 0 if all(r["Allowed"] == "yes" for r in rights) else 1, str(result))
        return "".join(r["Allowed"][0] for r in rights)

    def test_catalog_pages(self):
        self.serve()
        self.assertEqual(self.ok("catalog", self.site.host).split(), ["a/b", "c", "d/e", "f", "g"])
        self.assertIn("registry:catalog:*", self.site.scopes)

    def test_no_catalog(self):
        self.serve(catalog="none")
        self.fails("catalog", self.site.host, naming="does not list its repositories")

    def test_hidden_catalog(self):
        self.serve(catalog="hidden")
        self.fails("catalog", self.site.host, naming=["catalog of", "unauthorized"])

    def test_rights_in_the_token(self):
        self.serve()
        self.login()
        self.assertEqual([self.rights("a/b"), self.rights("r/o"), self.rights("n/o")], ["yyy", "ynn", "nnn"])
        self.assertFalse([r for r in self.site.requests if r[0] not in ("GET", "HEAD")], self.site.requests)

    def test_rights_by_trying(self):
        self.serve(opaque=True)
        self.login()
        self.assertEqual([self.rights("a/b"), self.rights("r/o")], ["yyy", "ynn"])
        self.assertEqual(self.rights("r/o", "--need", "pull"), "y")
        self.fails("access", f"{self.site.host}/n/o", naming="unauthorized")

    def test_wrong_password(self):
        self.serve()
        pair = {"auth": base64.b64encode(b"user:wrong").decode()}
        os.mkdir(self.path("home", ".docker"))
        self.write("home/.docker/config.json", json.dumps({"auths": {self.site.host: pair}}))
        self.fails("access", f"{self.site.host}/a/b", naming=["unauthorized", "incorrect username"])

    def test_delete_and_copy_ask_for_their_scopes(self):
        self.serve()
        self.login()
        name = f"{self.site.host}/a/b"
        self.ok("tag", "--remote", f"{name}:1", "2")
        self.assertEqual(self.site.manifests["a/b"]["2"], MANIFEST)
        self.ok("rm", "--remote", f"{name}:1")
        self.assertEqual(list(self.site.manifests["a/b"]), ["2"])
        self.assertIn("repository:a/b:delete", self.site.scopes)
        self.fails("rm", "--remote", f"{self.site.host}/r/o:1", naming=[f"{self.site.host}/r/o:1", "unauthorized"])


if __name__ == "__main__":
    program.main(["docker-registry", "skopeo", "htpasswd"])
