/* tests/unit/test_compose.c - documents that are written: configs, manifests, indexes; times; texts of array elements.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "imgstore/image.h"
#include "oci/compose.h"
#include "oci/mediatype.h"
#include "oci/time.h"

#define DIFF1 "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
#define DIFF2 "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"

static const ims_alloc *const alloc = &ims_alloc_default;

static ims_digest digest(const char *text) {
  ims_digest d;
  assert_int_equal(ims_digest_parse(&d, text, strlen(text), NULL), IMGSTORE_OK);
  return d;
}

static ims_config *parse_config(const char *text, size_t layers) {
  ims_config *c;
  ims_error err = IMS_ERROR_INIT;
  if (ims_config_parse(&c, alloc, text, strlen(text), NULL, layers, &err) != IMGSTORE_OK)
    fail_msg("%s: %s", text, err.message);
  return c;
}

/* --- configs ------------------------------------------------------------------------------------------------------ */

static const char base_text[] =
    "{\"architecture\":\"amd64\",\"x.unknown\":{\"deep\":[1.50,null,\"\\u00e9\"]},\"config\":{\"Env\":[\"PATH=/bin\"],"
    "\"Cmd\":[\"sh\"],\"ArgsEscaped\":true,\"Labels\":{\"b\":\"1\"}},\"created\":\"2020-01-01T00:00:00Z\",\"history\":["
    "{\"created_by\":\"ADD\",\"x\":1},{\"created_by\":\"CMD\",\"empty_layer\":true}],\"os\":\"linux\",\"rootfs\":{"
    "\"type\":\"layers\",\"diff_ids\":[\"" DIFF1 "\"]}}";

static void expect_config(const ims_config *base, const ims_config_changes *changes, const char *want) {
  ims_buf out;
  ims_error err = IMS_ERROR_INIT;
  ims_buf_init(&out, alloc, SIZE_MAX);
  if (ims_compose_config(&out, base, changes, &err) != IMGSTORE_OK)
    fail_msg("%s", err.message);
  assert_string_equal(ims_buf_text(&out), want);
  ims_buf_free(&out);
}

static void test_config_without_changes(void **state) {
  ims_config *base = parse_config(base_text, 1);
  ims_config_changes none = {0};
  ims_buf out;
  ims_buf_init(&out, alloc, SIZE_MAX);
  assert_int_equal(ims_compose_config(&out, base, &none, NULL), IMGSTORE_OK);
  assert_non_null(strstr(ims_buf_text(&out), "\"x.unknown\":{\"deep\":[1.50,null,\"\xc3\xa9\"]}"));
  assert_int_equal(out.size, strlen(base_text) - 4);
  ims_buf_free(&out);
  ims_config_free(base);
}

static void test_config_from_scratch(void **state) {
  ims_config_changes c = {.text = {[IMGSTORE_IMAGE_OS] = "linux", [IMGSTORE_IMAGE_ARCHITECTURE] = "arm64"}};
  expect_config(NULL, &c,
                "{\"architecture\":\"arm64\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\","
                "\"diff_ids\":[]}}");
}

static void test_config_full(void **state) {
  ims_pair env[] = {{"", "Z=1"}, {"", "A="}}, ports[] = {{"", "80/tcp"}, {"", "53-54/udp"}}, volumes[] = {{"", "/v"}},
           labels[] = {{"z", "\"q\""}, {"a", "\xc3\xa9\n"}}, cmd[] = {{"", "run"}, {"", ""}}, test[] = {{"", "NONE"}};
  const ims_list lists[] = {{env, 2}, {ports, 2}, {volumes, 1}, {labels, 2}, {cmd, 2}};
  ims_healthcheck health = {.test = {test, 1}, .retries = 3};
  ims_history_part history = {.created = "2024-01-02T03:04:05Z", .created_by = "me", .empty = true};
  ims_digest ids[] = {digest(DIFF1)};
  ims_config_changes c = {.text = {[IMGSTORE_IMAGE_CREATED] = "2024-01-02T03:04:05Z",
                                   [IMGSTORE_IMAGE_AUTHOR] = "A",
                                   [IMGSTORE_IMAGE_OS] = "linux",
                                   [IMGSTORE_IMAGE_ARCHITECTURE] = "arm",
                                   [IMGSTORE_IMAGE_VARIANT] = "v7",
                                   [IMGSTORE_IMAGE_USER] = "1:2",
                                   [IMGSTORE_IMAGE_WORKING_DIR] = "/w",
                                   [IMGSTORE_IMAGE_STOP_SIGNAL] = "SIGRTMIN+3"},
                          .list = {[IMGSTORE_IMAGE_ENV] = &lists[0],
                                   [IMGSTORE_IMAGE_PORTS] = &lists[1],
                                   [IMGSTORE_IMAGE_VOLUMES] = &lists[2],
                                   [IMGSTORE_IMAGE_LABELS] = &lists[3],
                                   [IMGSTORE_IMAGE_CMD] = &lists[4]},
                          .healthcheck = &health,
                          .history = &history,
                          .history_count = 1,
                          .diff_ids = ids,
                          .diff_id_count = 1};
  expect_config(
      NULL, &c,
      "{\"created\":\"2024-01-02T03:04:05Z\",\"author\":\"A\",\"architecture\":\"arm\",\"variant\":\"v7\",\"os\":"
      "\"linux\",\"config\":{\"User\":\"1:2\",\"ExposedPorts\":{\"53-54/udp\":{},\"80/tcp\":{}},\"Env\":[\"Z=1\","
      "\"A=\"],\"Cmd\":[\"run\",\"\"],\"Healthcheck\":{\"Test\":[\"NONE\"],\"Retries\":3},\"Volumes\":{\"/v\":{}},"
      "\"WorkingDir\":\"/w\",\"Labels\":{\"a\":\"\xc3\xa9\\n\",\"z\":\"\\\"q\\\"\"},\"StopSignal\":\"SIGRTMIN+3\"},"
      "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIFF1 "\"]},\"history\":[{\"created\":"
      "\"2024-01-02T03:04:05Z\",\"created_by\":\"me\",\"empty_layer\":true}]}");
}

static void test_config_from_base(void **state) {
  ims_config *base = parse_config(base_text, 1);
  ims_pair env[] = {{"", "PATH=/sbin"}, {"", "B=2"}};
  const ims_list envs = {env, 2}, nothing = {NULL, 0};
  ims_history_part history = {.created_by = "new"};
  ims_digest ids[] = {digest(DIFF2)};
  ims_config_changes c = {.text = {[IMGSTORE_IMAGE_CREATED] = "", [IMGSTORE_IMAGE_USER] = "u"},
                          .list = {[IMGSTORE_IMAGE_ENV] = &envs, [IMGSTORE_IMAGE_CMD] = &nothing},
                          .history = &history,
                          .history_count = 1,
                          .diff_ids = ids,
                          .diff_id_count = 1};
  expect_config(base, &c,
                "{\"architecture\":\"amd64\",\"x.unknown\":{\"deep\":[1.50,null,\"\xc3\xa9\"]},\"config\":{\"Env\":["
                "\"PATH=/sbin\",\"B=2\"],\"ArgsEscaped\":true,\"Labels\":{\"b\":\"1\"},\"User\":\"u\"},\"history\":[{"
                "\"created_by\":\"ADD\",\"x\":1},{\"created_by\":\"CMD\",\"empty_layer\":true},{\"created_by\":"
                "\"new\"}],\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIFF1 "\",\"" DIFF2
                "\"]}}");
  ims_config_free(base);
}

static void test_config_new_history(void **state) {
  ims_config *base = parse_config(base_text, 1);
  const ims_json_value *first = ims_config_history_first(base);
  ims_history_part parts[] = {{.kept = first, .empty = true}, {.kept = ims_json_next(first)}, {.comment = "squashed"}};
  ims_digest ids[] = {digest(DIFF2)};
  ims_config_changes c = {.text = {[IMGSTORE_IMAGE_CREATED] = ""},
                          .new_history = true,
                          .history = parts,
                          .history_count = 3,
                          .new_diff_ids = true,
                          .diff_ids = ids,
                          .diff_id_count = 1};
  ims_buf out;
  ims_buf_init(&out, alloc, SIZE_MAX);
  assert_int_equal(ims_compose_config(&out, base, &c, NULL), IMGSTORE_OK);
  assert_non_null(strstr(ims_buf_text(&out),
                         "\"history\":[{\"created_by\":\"ADD\",\"x\":1,\"empty_layer\":true},{"
                         "\"created_by\":\"CMD\",\"empty_layer\":true},{\"comment\":\"squashed\"}]"));
  assert_non_null(strstr(ims_buf_text(&out), "\"diff_ids\":[\"" DIFF2 "\"]"));
  ims_config_free(base);
  base = parse_config(ims_buf_text(&out), 1); /* and reads back */
  assert_int_equal(base->history_count, 3);
  assert_int_equal(base->history[2].layer, 0);
  ims_config_free(base);
  ims_buf_free(&out);
}

static void refuse(const ims_config_changes *changes, const char *message) {
  ims_buf out;
  ims_error err = IMS_ERROR_INIT;
  ims_buf_init(&out, alloc, SIZE_MAX);
  ims_config_changes c = *changes;
  if (!c.text[IMGSTORE_IMAGE_OS])
    c.text[IMGSTORE_IMAGE_OS] = "linux";
  if (!c.text[IMGSTORE_IMAGE_ARCHITECTURE])
    c.text[IMGSTORE_IMAGE_ARCHITECTURE] = "amd64";
  int32_t rc = ims_compose_config(&out, NULL, &c, &err);
  if (rc != IMGSTORE_EINVALID && rc != IMGSTORE_EFORMAT)
    fail_msg("%d for: %s", rc, message);
  if (!strstr(err.message, message))
    fail_msg("\"%s\" instead of \"%s\"", err.message, message);
  ims_buf_free(&out);
}

static void test_config_bad_texts(void **state) {
  static const struct {
    int field;
    const char *text, *message;
  } cases[] = {
      {IMGSTORE_IMAGE_CREATED, "yesterday", "created: \"yesterday\" is not a time"},
      {IMGSTORE_IMAGE_CREATED, "2023-02-29T00:00:00Z", "created"},
      {IMGSTORE_IMAGE_OS, "lin ux", "os: \"lin ux\""},
      {IMGSTORE_IMAGE_OS, "", "needs an os"},
      {IMGSTORE_IMAGE_ARCHITECTURE, "0123456789012345678901234567890123", "architecture"},
      {IMGSTORE_IMAGE_VARIANT, "v/8", "variant"},
      {IMGSTORE_IMAGE_OS_VERSION, "1\n", "os.version"},
      {IMGSTORE_IMAGE_USER, "a\nb", "user"},
      {IMGSTORE_IMAGE_USER, "\xff", "user: \"\\xff\" is not UTF-8"},
      {IMGSTORE_IMAGE_WORKING_DIR, "relative", "working directory"},
      {IMGSTORE_IMAGE_STOP_SIGNAL, "65", "stop signal"},
      {IMGSTORE_IMAGE_STOP_SIGNAL, "term", "stop signal"},
      {IMGSTORE_IMAGE_AUTHOR, "\x1b[2J", "author: \"\\x1b[2J\" has control characters"},
      {IMGSTORE_IMAGE_COMMENT, "\xc0\x80", "comment"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ims_config_changes c = {0};
    c.text[cases[i].field] = cases[i].text;
    refuse(&c, cases[i].message);
  }
}

static void test_config_bad_items(void **state) {
  static const struct {
    int list;
    ims_pair item;
    const char *message;
  } cases[] = {
      {IMGSTORE_IMAGE_ENV, {"", "NAME"}, "env: \"NAME\" is not of the form NAME=VALUE"},
      {IMGSTORE_IMAGE_ENV, {"", "=x"}, "env"},
      {IMGSTORE_IMAGE_ENV, {"", "A B=x"}, "env"},
      {IMGSTORE_IMAGE_ENV, {"", "A=\xed\xa0\x80"}, "env"},
      {IMGSTORE_IMAGE_PORTS, {"", "0"}, "port"},
      {IMGSTORE_IMAGE_PORTS, {"", "65536/tcp"}, "port"},
      {IMGSTORE_IMAGE_PORTS, {"", "9-8"}, "port"},
      {IMGSTORE_IMAGE_PORTS, {"", "80/TCP"}, "port"},
      {IMGSTORE_IMAGE_PORTS, {"", "80/"}, "port"},
      {IMGSTORE_IMAGE_PORTS, {"", ""}, "port"},
      {IMGSTORE_IMAGE_VOLUMES, {"", "v"}, "volume"},
      {IMGSTORE_IMAGE_LABELS, {"", "v"}, "label"},
      {IMGSTORE_IMAGE_LABELS, {"k", "\x80"}, "label"},
      {IMGSTORE_IMAGE_CMD, {"", "\xff"}, "argument"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ims_pair item = cases[i].item;
    const ims_list list = {&item, 1};
    ims_config_changes c = {0};
    c.list[cases[i].list] = &list;
    refuse(&c, cases[i].message);
  }
  ims_pair twice[] = {{"key", "1"}, {"key", "2"}};
  const ims_list list = {twice, 2};
  ims_config_changes c = {.list = {[IMGSTORE_IMAGE_LABELS] = &list}};
  refuse(&c, "comes twice");
}

static void test_config_bad_healthcheck(void **state) {
  ims_pair words[] = {{"", "CMD"}, {"", "x"}};
  ims_healthcheck h = {.test = {words, 1}};
  ims_config_changes c = {.healthcheck = &h};
  refuse(&c, "healthcheck: the test");
  h.test.count = 2;
  h.timeout = 5;
  refuse(&c, "healthcheck: a duration");
  h.timeout = 0;
  h.retries = 1001;
  refuse(&c, "retries");
  words[0].value = "NONE";
  refuse(&c, "healthcheck: the test");
}

/* --- manifests and indexes ---------------------------------------------------------------------------------------- */

static void expect_manifest(const ims_manifest_parts *parts, const char *want) {
  ims_buf out;
  ims_error err = IMS_ERROR_INIT;
  imgstore_manifest *m;
  ims_buf_init(&out, alloc, SIZE_MAX);
  if (ims_compose_manifest(&out, parts, &err) != IMGSTORE_OK)
    fail_msg("%s", err.message);
  assert_string_equal(ims_buf_text(&out), want);
  assert_int_equal(ims_manifest_parse(&m, alloc, ims_buf_text(&out), out.size, NULL, NULL, NULL, NULL, NULL), 0);
  assert_int_equal(m->count, parts->layer_count);
  imgstore_manifest_unref(m);
  ims_buf_free(&out);
}

static void test_manifest(void **state) {
  static const char *const urls[] = {"https://e.org/x"};
  ims_pair annotations[] = {{"z", "1"}, {"a", "2"}};
  imgstore_descriptor config = {.digest = digest(DIFF1), .size = 7, .media_type = IMS_MT_OCI_CONFIG};
  imgstore_descriptor layer = {.digest = digest(DIFF2),
                               .size = UINT64_C(1) << 53,
                               .media_type = "application/vnd.oci.image.layer.v1.tar+gzip",
                               .urls = urls,
                               .url_count = 1,
                               .annotations = annotations,
                               .annotation_count = 2};
  ims_manifest_parts p = {.config = &config,
                          .layers = &layer,
                          .layer_count = 1,
                          .annotations = annotations,
                          .annotation_count = 2,
                          .subject = &config};
  expect_manifest(&p, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{"
                      "\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" DIFF1
                      "\",\"size\":7},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\","
                      "\"digest\":\"" DIFF2 "\",\"size\":9007199254740992,\"urls\":[\"https://e.org/x\"],"
                      "\"annotations\":{\"a\":\"2\",\"z\":\"1\"}}],\"subject\":{\"mediaType\":"
                      "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" DIFF1
                      "\",\"size\":7},\"annotations\":{\"a\":\"2\",\"z\":\"1\"}}");
}

static void test_artifact_manifest(void **state) {
  ims_manifest_parts p = {.artifact_type = "application/x.y+json"};
  expect_manifest(&p,
                  "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"artifactType\":"
                  "\"application/x.y+json\",\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":"
                  "\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2,\"data\":"
                  "\"e30=\"},\"layers\":[]}");
}

static void test_docker_manifest(void **state) {
  imgstore_descriptor config = {.digest = digest(DIFF1), .size = 7, .media_type = IMS_MT_DOCKER_CONFIG};
  ims_manifest_parts p = {.family = IMS_FAMILY_DOCKER, .config = &config};
  expect_manifest(&p, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\","
                      "\"config\":{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"digest\":\"" DIFF1
                      "\",\"size\":7},\"layers\":[]}");
}

static void test_manifest_refusals(void **state) {
  ims_pair pair = {"k", "v"};
  imgstore_descriptor config = {.digest = digest(DIFF1), .size = 7, .media_type = IMS_MT_OCI_CONFIG}, layer = config;
  const ims_manifest_parts good = {.config = &config, .layers = &layer, .layer_count = 1};
  ims_manifest_parts cases[8];
  imgstore_descriptor no_type = config, no_digest = config, large = config;
  no_type.media_type = "text";
  memset(&no_digest.digest, 0, sizeof no_digest.digest);
  large.size++;
  large.size += UINT64_C(1) << 53;
  for (size_t i = 0; i < 8; i++)
    cases[i] = good;
  cases[0].family = IMS_FAMILY_DOCKER;
  cases[0].annotations = &pair;
  cases[0].annotation_count = 1;
  cases[1].artifact_type = "no type";
  cases[2].config = NULL;
  cases[3].config = &no_type;
  cases[4].layers = &no_digest;
  cases[5].layers = &large;
  cases[6].family = 9;
  ims_pair bad = {"k", "\xff"};
  cases[7].annotations = &bad;
  cases[7].annotation_count = 1;
  for (size_t i = 0; i < 8; i++) {
    ims_buf out;
    ims_error err = IMS_ERROR_INIT;
    ims_buf_init(&out, alloc, SIZE_MAX);
    assert_int_equal(ims_compose_manifest(&out, &cases[i], &err), IMGSTORE_EINVALID);
    assert_int_equal(err.code, IMGSTORE_EINVALID);
    ims_buf_free(&out);
  }
}

#define ODD_ENTRY "{ \"digest\" :\"" DIFF2 "\",\"size\":1,\"mediaType\":\"a\\/b\", \"x\":[{\"]\":\"\\\"}\"}] }"

static int32_t take_element(void *data, const char *text, size_t size) {
  ims_index_entry **at = data;
  (*at)->text = text;
  (*at)->text_size = size;
  (*at)++;
  return IMGSTORE_OK;
}

static void test_index_keeps_texts(void **state) {
  static const char old[] = " { \"a\":[{},[1,2],\"}\"],\"b\" : -1.5e3 , \"\\u006danifests\" : [ " ODD_ENTRY
                            " ,{\"digest\":\"" DIFF1 "\",\"size\":2,\"mediaType\":\"c/d\"}],\"schemaVersion\":2}";
  ims_json *json;
  assert_int_equal(ims_json_parse(&json, alloc, old, strlen(old), "index", NULL), IMGSTORE_OK);
  ims_index_entry entries[3] = {0}, *at = entries;
  assert_int_equal(ims_json_each_text(ims_json_root(json), "manifests", old, strlen(old), take_element, &at), 0);
  assert_ptr_equal(at, entries + 2);
  imgstore_descriptor d = {.digest = digest(DIFF1),
                           .size = 3,
                           .media_type = IMS_MT_OCI_MANIFEST,
                           .artifact_type = "a/t",
                           .platform = {"linux", "arm64", "v8"}};
  entries[2].descriptor = &d;
  entries[2].os_version = "1.2";
  ims_index_parts p = {.entries = entries, .count = 3};
  ims_buf out;
  ims_error err = IMS_ERROR_INIT;
  ims_buf_init(&out, alloc, SIZE_MAX);
  if (ims_compose_index(&out, &p, &err))
    fail_msg("%s", err.message);
  assert_string_equal(
      ims_buf_text(&out),
      "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[" ODD_ENTRY
      ",{\"digest\":\"" DIFF1 "\",\"size\":2,\"mediaType\":\"c/d\"},{\"mediaType\":"
      "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"" DIFF1 "\",\"size\":3,"
      "\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\",\"os.version\":\"1.2\",\"variant\":"
      "\"v8\"},\"artifactType\":\"a/t\"}]}");
  imgstore_manifest *m;
  assert_int_equal(ims_manifest_parse(&m, alloc, ims_buf_text(&out), out.size, NULL, NULL, NULL, NULL, NULL), 0);
  imgstore_manifest_unref(m);
  ims_buf_free(&out);
  ims_json_free(json);
}

static void test_elements_of_what_is_no_array(void **state) {
  static const char text[] = "{\"manifests\":{}}";
  ims_json *json;
  assert_int_equal(ims_json_parse(&json, alloc, text, strlen(text), "index", NULL), IMGSTORE_OK);
  assert_int_equal(ims_json_each_text(ims_json_root(json), "manifests", text, strlen(text), NULL, NULL), 0);
  assert_int_equal(ims_json_each_text(ims_json_root(json), "absent", text, strlen(text), NULL, NULL), 0);
  ims_json_free(json);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static int32_t compose_all(const ims_alloc *a, ims_error *err) {
  ims_config *base = NULL;
  ims_pair labels[] = {{"z", "1"}, {"a", "2"}};
  const ims_list list = {labels, 2};
  ims_history_part part = {.comment = "c"};
  ims_digest id = digest(DIFF2);
  ims_config_changes c = {.text = {[IMGSTORE_IMAGE_USER] = "u"},
                          .list = {[IMGSTORE_IMAGE_LABELS] = &list},
                          .history = &part,
                          .history_count = 1,
                          .diff_ids = &id,
                          .diff_id_count = 1};
  ims_manifest_parts m = {.artifact_type = "a/b", .annotations = labels, .annotation_count = 2};
  ims_index_parts x = {.annotations = labels, .annotation_count = 2};
  ims_buf out;
  ims_buf_init(&out, a, SIZE_MAX);
  int32_t rc = ims_config_parse(&base, a, base_text, strlen(base_text), NULL, 1, err);
  if (!rc)
    rc = ims_compose_config(&out, base, &c, err);
  if (!rc)
    rc = ims_compose_manifest(&out, &m, err);
  if (!rc)
    rc = ims_compose_index(&out, &x, err);
  ims_buf_free(&out);
  ims_config_free(base);
  return rc;
}

static void test_every_allocation_fails(void **state) {
  int32_t rc = IMGSTORE_ENOMEM;
  for (size_t i = 0; rc; i++) {
    failing f;
    ims_alloc a = failing_alloc(&f, i);
    ims_error err = IMS_ERROR_INIT;
    rc = compose_all(&a, &err);
    assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    assert_int_equal(err.code, rc);
    assert_int_equal(f.live, 0);
  }
}

static void test_ceiling(void **state) {
  ims_config *base = parse_config(base_text, 1);
  ims_config_changes c = {.text = {[IMGSTORE_IMAGE_USER] = "u"}};
  for (size_t ceiling = 0; ceiling < 300; ceiling += 7) {
    ims_buf out;
    ims_error err = IMS_ERROR_INIT;
    ims_buf_init(&out, alloc, ceiling);
    assert_int_equal(ims_compose_config(&out, base, &c, &err), IMGSTORE_ELIMIT);
    assert_int_equal(err.code, IMGSTORE_ELIMIT);
    ims_buf_free(&out);
  }
  ims_config_free(base);
}

/* --- times -------------------------------------------------------------------------------------------------------- */

static void test_times(void **state) {
  static const struct {
    int64_t seconds;
    uint32_t nanoseconds;
    const char *text;
  } cases[] = {
      {0, 0, "1970-01-01T00:00:00Z"},
      {1704164645, 0, "2024-01-02T03:04:05Z"},
      {1704164645, 120000000, "2024-01-02T03:04:05.12Z"},
      {951782400, 1, "2000-02-29T00:00:00.000000001Z"},
      {-1, 0, "1969-12-31T23:59:59Z"},
      {-62135596800, 0, "0001-01-01T00:00:00Z"},
      {253402300799, 0, "9999-12-31T23:59:59Z"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[IMS_TIME_TEXT];
    int64_t seconds;
    uint32_t nanoseconds;
    assert_true(ims_time_text(cases[i].seconds, cases[i].nanoseconds, text));
    assert_string_equal(text, cases[i].text);
    assert_true(ims_time_parse(text, &seconds, &nanoseconds));
    assert_true(seconds == cases[i].seconds && nanoseconds == cases[i].nanoseconds);
  }
  char text[IMS_TIME_TEXT];
  int64_t seconds;
  assert_false(ims_time_text(253402300800, 0, text));
  assert_false(ims_time_text(INT64_MIN, 0, text));
  assert_false(ims_time_text(0, 1000000000, text));
  assert_true(ims_time_parse("2024-01-02t03:04:05+01:30", &seconds, NULL));
  assert_int_equal(seconds, 1704164645 - 5400);
}

static void test_bad_times(void **state) {
  static const char *const bad[] = {"",
                                    "2024",
                                    "2024-01-02",
                                    "2024-01-02T03:04:05",
                                    "2024-01-02T03:04:05.Z",
                                    "2024-13-02T03:04:05Z",
                                    "2024-00-02T03:04:05Z",
                                    "2024-01-32T03:04:05Z",
                                    "2024-01-02T24:04:05Z",
                                    "2024-01-02T03:60:05Z",
                                    "2024-01-02T03:04:61Z",
                                    "2024-01-02T03:04:05Zx",
                                    "2024-01-02T03:04:05+1:00",
                                    "2024-01-02T03:04:05+24:00",
                                    "2100-02-29T00:00:00Z",
                                    "2024-01-02 03:04:05Z"};
  int64_t seconds;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (ims_time_parse(bad[i], &seconds, NULL))
      fail_msg("\"%s\" was taken", bad[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_config_without_changes),
      cmocka_unit_test(test_config_from_scratch),
      cmocka_unit_test(test_config_full),
      cmocka_unit_test(test_config_from_base),
      cmocka_unit_test(test_config_new_history),
      cmocka_unit_test(test_config_bad_texts),
      cmocka_unit_test(test_config_bad_items),
      cmocka_unit_test(test_config_bad_healthcheck),
      cmocka_unit_test(test_manifest),
      cmocka_unit_test(test_artifact_manifest),
      cmocka_unit_test(test_docker_manifest),
      cmocka_unit_test(test_manifest_refusals),
      cmocka_unit_test(test_index_keeps_texts),
      cmocka_unit_test(test_elements_of_what_is_no_array),
      cmocka_unit_test(test_every_allocation_fails),
      cmocka_unit_test(test_ceiling),
      cmocka_unit_test(test_times),
      cmocka_unit_test(test_bad_times),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
