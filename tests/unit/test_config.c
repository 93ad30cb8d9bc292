/* tests/unit/test_config.c - image configs and what inspect shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "imgstore/image.h"
#include "oci/config.h"
#include "oci/mediatype.h"

#define DIFF1 "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
#define DIFF2 "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
#define DIFF3 "sha256:2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"
/* By coreutils: printf 'CHAIN DIFF' | sha256sum. */
#define CHAIN2 "sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676"
#define CHAIN3 "sha256:2fce7f8ce91bcf0a1428b36e1024639fdbd9469eea762dba98aa749631885106"
#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"
#define Q(s) "\"" s "\""
#define THREE ROOTFS(Q(DIFF1) "," Q(DIFF2) "," Q(DIFF3))
#define BARE(rest) "{" rest "," ROOTFS("") "}"

static const ims_alloc *const alloc = &ims_alloc_default;

static int32_t parse(ims_config **c, const char *text, size_t layers, ims_error *err) {
  size_t size = strlen(text);
  char *exact = malloc(size ? size : 1);
  assert_non_null(exact);
  memcpy(exact, text, size);
  int32_t rc = ims_config_parse(c, alloc, exact, size, NULL, layers, err);
  free(exact);
  assert_int_equal(*c == NULL, rc != IMGSTORE_OK);
  return rc;
}

static ims_config *must_parse(const char *text, size_t layers) {
  ims_config *c;
  ims_error err = IMS_ERROR_INIT;
  if (parse(&c, text, layers, &err) != IMGSTORE_OK)
    fail_msg("%s: %s", text, err.message);
  return c;
}

static const char full[] =
    "{\"created\":\"2024-01-02T03:04:05Z\",\"author\":\"me\",\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":"
    "\"v8\",\"os.version\":\"10\",\"comment\":\"c\",\"docker_version\":\"20\",\"container_config\":{\"User\":\"no\"},"
    "\"config\":{\"Hostname\":\"h\",\"User\":\"1000\",\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\","
    "\"Env\":[\"A=1\",\"B=\"],\"Entrypoint\":[\"/e\"],\"Cmd\":\"run me\",\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":"
    "null},\"Volumes\":{\"/v\":{}},\"Labels\":{\"k\":\"v\",\"e\":\"\"},\"Shell\":[\"/bin/sh\",\"-c\"],\"OnBuild\":["
    "\"RUN x\"],\"Healthcheck\":{\"Interval\":30000000000000000},\"Future\":[1.50]},\"history\":[{\"created\":\"t0\","
    "\"created_by\":\"ADD\"},{\"created_by\":\"ENV\",\"empty_layer\":true},{\"comment\":\"k\",\"author\":\"a\"},{}]"
    "," THREE "}";

static void test_texts(void **state) {
  static const char *const want[] = {
      "", "2024-01-02T03:04:05Z", "me", "linux", "arm64", "v8", "10", "1000", "/w", "SIGINT", "c", "20"};
  ims_config *c = must_parse(full, 3);
  for (size_t i = 1; i < IMS_CONFIG_TEXTS; i++)
    assert_string_equal(c->text[i], want[i]);
  ims_platform p;
  ims_config_platform(c, &p);
  assert_string_equal(p.os, "linux");
  assert_string_equal(p.architecture, "arm64");
  assert_string_equal(p.variant, "");
  assert_string_equal(c->data, full);
  ims_config_free(c);
  ims_config_free(NULL);
}

static void test_lists(void **state) {
  ims_config *c = must_parse(full, 3);
  static const size_t counts[] = {0, 2, 1, 1, 2, 1, 2, 2, 1};
  static const char *const firsts[] = {"", "A=1", "/e", "run me", "80/tcp", "/v", "v", "/bin/sh", "RUN x"};
  for (size_t i = 1; i < IMS_CONFIG_LISTS; i++) {
    assert_int_equal(c->list[i].count, counts[i]);
    assert_string_equal(c->list[i].items[0].value, firsts[i]);
    assert_string_equal(c->list[i].items[0].key, i == IMGSTORE_IMAGE_LABELS ? "k" : "");
  }
  ims_config_free(c);
}

static void test_history_and_chain(void **state) {
  ims_config *c = must_parse(full, 3);
  static const int32_t layers[] = {0, -1, 1, 2};
  assert_int_equal(c->history_count, 4);
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(c->history[i].layer, layers[i]);
  assert_string_equal(c->history[0].created_by, "ADD");
  assert_string_equal(c->history[2].author, "a");
  assert_string_equal(c->history[3].created, "");
  assert_int_equal(c->layer_count, 3);
  assert_string_equal(c->diff_ids[2].text, DIFF3);
  assert_string_equal(c->chain_ids[0].text, DIFF1);
  assert_string_equal(c->chain_ids[1].text, CHAIN2);
  assert_string_equal(c->chain_ids[2].text, CHAIN3);
  ims_config_free(c);
}

static void test_history_that_does_not_add_up(void **state) {
  ims_config *c = must_parse("{\"history\":[{},{},{\"empty_layer\":false},{}]," THREE "}", 3);
  assert_int_equal(c->history_count, 4);
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(c->history[i].layer, -1);
  ims_config_free(c);
}

static void test_absent_and_null(void **state) {
  static const char *const texts[] = {
      "{" ROOTFS("") "}", "{\"config\":null,\"history\":null,\"created\":null," ROOTFS("") "}",
      "{\"config\":{\"Env\":null,\"Cmd\":null,\"Labels\":null,\"Volumes\":null,\"User\":null}," ROOTFS("") "}",
      "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":null}}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    ims_config *c = must_parse(texts[i], 0);
    for (size_t j = 0; j < IMS_CONFIG_TEXTS; j++)
      assert_true(j == 0 || c->text[j][0] == '\0');
    for (size_t j = 0; j < IMS_CONFIG_LISTS; j++)
      assert_int_equal(c->list[j].count, 0);
    assert_int_equal(c->history_count, 0);
    ims_config_free(c);
  }
}

static void test_malformed(void **state) {
  static const struct {
    const char *text, *message;
    size_t layers;
  } cases[] = {
      {"", "unexpected end", 0},
      {"[]", "not a JSON object", 0},
      {"{}", "rootfs is missing", 0},
      {"{\"rootfs\":[]}", "rootfs is not an object", 0},
      {"{\"rootfs\":{\"diff_ids\":[]}}", "rootfs.type", 0},
      {"{\"rootfs\":{\"type\":\"layers+base\",\"diff_ids\":[]}}", "rootfs.type", 0},
      {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":{}}}", "diff_ids is not an array", 0},
      {"{" THREE "}", "rootfs.diff_ids has 3 entries, but the manifest has 5 layers", 5},
      {"{" THREE "}", "rootfs.diff_ids has 3 entries, but the manifest has 2 layers", 2},
      {"{" ROOTFS("1") "}", "rootfs.diff_ids[0]: not a string", 1},
      {"{" ROOTFS(Q(DIFF1) "," Q("sha256:x")) "}", "rootfs.diff_ids[1]: digest \"sha256:x\"", 2},
      {BARE("\"config\":[]"), "config is not an object", 0},
      {BARE("\"created\":1"), "created is not a string", 0},
      {BARE("\"os\":{}"), "os is not a string", 0},
      {BARE("\"architecture\":\"01234567890123456789012345678901\""), "architecture is longer", 0},
      {BARE("\"config\":{\"User\":0}"), "User is not a string", 0},
      {BARE("\"config\":{\"Env\":\"A=1\"}"), "Env is not an array", 0},
      {BARE("\"config\":{\"Env\":[\"A=1\",null]}"), "Env: item 1 is not a string", 0},
      {BARE("\"config\":{\"Cmd\":{}}"), "Cmd is not an array", 0},
      {BARE("\"config\":{\"Cmd\":[1]}"), "Cmd: item 0 is not a string", 0},
      {BARE("\"config\":{\"Labels\":[]}"), "Labels is not an object", 0},
      {BARE("\"config\":{\"Labels\":{\"a\":1}}"), "Labels: the value of \"a\" is not a string", 0},
      {BARE("\"config\":{\"Volumes\":[\"/v\"]}"), "Volumes is not an object", 0},
      {BARE("\"config\":{\"ExposedPorts\":{\"80\":1}}"), "ExposedPorts: the value of \"80\" is not an object", 0},
      {BARE("\"history\":{}"), "history is not an array", 0},
      {BARE("\"history\":[1]"), "history[0]: not an object", 0},
      {BARE("\"history\":[{},{\"created_by\":[]}]"), "history[1]: created_by is not a string", 0},
      {BARE("\"history\":[{\"empty_layer\":\"true\"}]"), "history[0]: empty_layer is not a boolean", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ims_config *c;
    ims_error err = IMS_ERROR_INIT;
    int32_t rc = parse(&c, cases[i].text, cases[i].layers, &err);
    if (rc != IMGSTORE_EFORMAT || !strstr(err.message, cases[i].message))
      fail_msg("%s: got %d \"%s\"", cases[i].text, rc, err.message);
  }
}

static void test_digest(void **state) {
  ims_config *c;
  ims_digest digest;
  ims_error err = IMS_ERROR_INIT;
  ims_digest_of(&digest, IMS_HASH_SHA256, full, sizeof full - 1);
  assert_int_equal(ims_config_parse(&c, alloc, full, sizeof full - 1, &digest, 3, NULL), IMGSTORE_OK);
  ims_config_free(c);
  assert_int_equal(ims_config_parse(&c, alloc, full, sizeof full - 2, &digest, 3, &err), IMGSTORE_EDIGEST);
  assert_non_null(strstr(err.message, digest.text));
}

static const char manifest_text[] = "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" IMS_MT_OCI_CONFIG
                                    "\",\"digest\":\"" DIFF1 "\",\"size\":7},\"layers\":[{\"digest\":\"" DIFF2
                                    "\",\"size\":9007199254740992},{\"digest\":\"" DIFF3 "\",\"size\":1}]}";

static int32_t inspect_with(const ims_alloc *a, const char *config, const char *const *names, size_t count,
                            ims_buf *out) {
  imgstore_manifest *m;
  ims_config *c = NULL;
  int32_t rc = ims_manifest_parse(&m, a, manifest_text, sizeof manifest_text - 1, NULL, NULL, NULL, "m", NULL);
  if (rc == IMGSTORE_OK)
    rc = ims_config_parse(&c, a, config, strlen(config), NULL, 3, NULL);
  if (rc == IMGSTORE_OK)
    rc = ims_config_inspect(c, m, DIFF3, names, count, out);
  ims_config_free(c);
  imgstore_manifest_unref(m);
  return rc;
}

static const char *const names[] = {"docker.io/library/alpine:3.20", "docker.io/library/alpine:3",
                                    "h.io/library/alpine:3.20",      ("docker.io/library/b@" DIFF1),
                                    "docker.io/library/alpine:3",    "not a name"};

static void assert_has(const char *text, const char *part) {
  if (!strstr(text, part))
    fail_msg("no %s in %s", part, text);
}

static void test_inspect(void **state) {
  ims_buf out;
  ims_buf_init(&out, alloc, 1 << 20);
  assert_int_equal(inspect_with(alloc, full, names, 6, &out), IMGSTORE_OK);
  const char *text = ims_buf_text(&out);
  assert_has(text,
             "{\n    \"Id\": \"" DIFF1 "\",\n    \"RepoTags\": [\n        \"alpine:3.20\",\n        \"alpine:3\",\n"
             "        \"h.io/library/alpine:3.20\",\n        \"not a name\"\n    ],\n    \"RepoDigests\": [\n"
             "        \"alpine@" DIFF3 "\",\n        \"h.io/library/alpine@" DIFF3 "\",\n        \"b@" DIFF3
             "\"\n    ],\n    \"Parent\": \"\",\n    \"Comment\": \"c\",\n");
  assert_has(text, "\"Size\": 9007199254740993,");
  assert_has(text, "        \"Cmd\": [\n            \"run me\"\n        ],");
  assert_has(text, "\"Hostname\": \"h\"");
  assert_has(text, "\"Interval\": 30000000000000000\n");
  assert_has(text, "\"Future\": [\n            1.50\n        ]\n");
  assert_has(text, "\"53/udp\": null\n");
  assert_has(text, "\"Type\": \"layers\",\n        \"Layers\": [\n            \"" DIFF1 "\",");
  assert_has(text, "\"mediaType\": \"" IMS_MT_OCI_MANIFEST "\"");
  ims_json *json;
  assert_int_equal(ims_json_parse(&json, alloc, text, out.size, "inspect", NULL), IMGSTORE_OK);
  ims_json_free(json);
  ims_buf_free(&out);
}

static void test_inspect_bare(void **state) {
  ims_buf out;
  ims_buf_init(&out, alloc, 1 << 20);
  assert_int_equal(inspect_with(alloc, "{\"config\":{\"labels\":1,\"cmd\":2}," THREE "}", NULL, 0, &out), IMGSTORE_OK);
  assert_has(ims_buf_text(&out), "\"RepoTags\": [],\n    \"RepoDigests\": [],\n");
  assert_has(ims_buf_text(&out),
             "    \"Config\": {\n        \"User\": \"\",\n        \"Env\": null,\n        \"Cmd\": null,\n"
             "        \"Volumes\": null,\n        \"WorkingDir\": \"\",\n        \"Entrypoint\": null,\n"
             "        \"OnBuild\": null,\n        \"Labels\": null\n    },\n");
  ims_buf_free(&out);
  ims_buf_init(&out, alloc, 100);
  assert_int_equal(inspect_with(alloc, full, names, 6, &out), IMGSTORE_ELIMIT);
  ims_buf_free(&out);
}

static void test_allocation_failures(void **state) {
  failing f = {0};
  for (size_t i = 0;; i++) {
    ims_alloc a = failing_alloc(&f, i);
    ims_buf out;
    ims_buf_init(&out, &a, 1 << 20);
    int32_t rc = inspect_with(&a, full, names, 6, &out);
    ims_buf_free(&out);
    assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    assert_int_equal(f.live, 0);
    if (!f.failed)
      break;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_lists),
      cmocka_unit_test(test_history_and_chain),
      cmocka_unit_test(test_history_that_does_not_add_up),
      cmocka_unit_test(test_absent_and_null),
      cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_digest),
      cmocka_unit_test(test_inspect),
      cmocka_unit_test(test_inspect_bare),
      cmocka_unit_test(test_allocation_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
