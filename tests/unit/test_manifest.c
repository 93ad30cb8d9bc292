/* tests/unit/test_manifest.c - manifests, indexes, descriptors, and the choice of a platform. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "oci/manifest.h"
#include "oci/mediatype.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SHA_A "sha256:" HEX_A
#define SHA_B "sha256:" HEX_B
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"
#define DESC(type, sha, rest) "{\"mediaType\":\"" type "\",\"digest\":\"" sha "\",\"size\":7" rest "}"
#define CONFIG "\"config\":" DESC(IMS_MT_OCI_CONFIG, SHA_A, "")
#define LAYERS "\"layers\":[" DESC(LAYER_TYPE, SHA_B, "") "]"
#define ENTRY(rest) DESC(IMS_MT_OCI_MANIFEST, SHA_A, rest)
#define PLATFORM(os, arch) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define TYPE(t) "\"mediaType\":\"" t "\","
#define V2(rest) "{\"schemaVersion\":2," rest "}"
#define IMAGE(rest) V2(rest CONFIG "," LAYERS)
#define INDEX(entries) V2("\"manifests\":[" entries "]")

static const ims_alloc *const alloc = &ims_alloc_default;

static int32_t parse_as(imgstore_manifest **m, const char *text, const char *announced, ims_error *err) {
  size_t size = strlen(text);
  char *exact = malloc(size ? size : 1);
  assert_non_null(exact);
  memcpy(exact, text, size);
  int32_t rc = ims_manifest_parse(m, alloc, exact, size, announced, NULL, NULL, "h.io/a:b", err);
  free(exact);
  assert_int_equal(*m == NULL, rc != IMGSTORE_OK);
  return rc;
}

static imgstore_manifest *must_parse(const char *text) {
  imgstore_manifest *m;
  ims_error err = IMS_ERROR_INIT;
  if (parse_as(&m, text, NULL, &err) != IMGSTORE_OK)
    fail_msg("%s: %s", text, err.message);
  return m;
}

static void refuse_as(const char *text, const char *announced, int32_t code, const char *message) {
  imgstore_manifest *m;
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = parse_as(&m, text, announced, &err);
  if (rc != code || !strstr(err.message, message))
    fail_msg("%s: got %d \"%s\"", text, rc, err.message);
  assert_int_equal(strncmp(err.message, "h.io/a:b: ", 10), 0);
}

static void refuse(const char *text, int32_t code, const char *message) {
  refuse_as(text, NULL, code, message);
}

static void test_image(void **state) {
  static const char text[] = " {\"schemaVersion\":2," TYPE(IMS_MT_OCI_MANIFEST) CONFIG ",\"layers\":[" DESC(
      LAYER_TYPE, SHA_B,
      ",\"annotations\":{\"k\":\"v\",\"\":\"\"},\"urls\":[\"http://x/\"],\"unknown\":[1]") "],\"annotations\":{\"a\":"
                                                                                           "\"b\"},\"future\":{}}\n";
  imgstore_manifest *m = must_parse(text);
  const char *key, *value;
  size_t size;
  assert_int_equal(imgstore_manifest_kind(m), IMGSTORE_MANIFEST_IMAGE);
  assert_string_equal(imgstore_manifest_media_type(m), IMS_MT_OCI_MANIFEST);
  assert_memory_equal(imgstore_manifest_data(m, &size), text, sizeof text);
  assert_int_equal(size, sizeof text - 1);
  ims_digest digest;
  ims_digest_of(&digest, IMS_HASH_SHA256, text, sizeof text - 1);
  assert_string_equal(imgstore_manifest_digest(m), digest.text);
  assert_string_equal(imgstore_descriptor_digest(imgstore_manifest_config(m)), SHA_A);
  assert_int_equal(imgstore_manifest_count(m), 1);
  const imgstore_descriptor *layer = imgstore_manifest_entry(m, 0);
  assert_null(imgstore_manifest_entry(m, 1));
  assert_string_equal(imgstore_descriptor_media_type(layer), LAYER_TYPE);
  assert_int_equal(imgstore_descriptor_size(layer), 7);
  assert_int_equal(layer->url_count, 1);
  assert_string_equal(layer->urls[0], "http://x/");
  assert_int_equal(imgstore_descriptor_annotation_count(layer), 2);
  assert_int_equal(imgstore_descriptor_annotation(layer, 0, &key, &value), IMGSTORE_OK);
  assert_string_equal(key, "k");
  assert_string_equal(value, "v");
  assert_int_equal(imgstore_descriptor_annotation(layer, 2, &key, &value), IMGSTORE_EINVALID);
  assert_null(key);
  assert_string_equal(ims_descriptor_annotation(layer, "k"), "v");
  assert_null(ims_descriptor_annotation(layer, "K"));
  assert_null(imgstore_descriptor_platform(layer));
  assert_int_equal(imgstore_manifest_annotation_count(m), 1);
  assert_int_equal(imgstore_manifest_annotation(m, 0, &key, &value), IMGSTORE_OK);
  assert_string_equal(value, "b");
  assert_null(imgstore_manifest_subject(m));
  assert_null(imgstore_manifest_artifact_type(m));
  assert_ptr_equal(imgstore_manifest_ref(m), m);
  imgstore_manifest_unref(m);
  imgstore_manifest_unref(m);
}

static void test_docker(void **state) {
  imgstore_manifest *m = must_parse(
      V2(TYPE(IMS_MT_DOCKER_MANIFEST) "\"config\":" DESC(IMS_MT_DOCKER_CONFIG, SHA_A, "") ",\"layers\":[" DESC(
          "application/vnd.docker.image.rootfs.diff.tar.gzip", SHA_B, "") "]"));
  assert_int_equal(m->kind, IMGSTORE_MANIFEST_IMAGE);
  assert_string_equal(m->media_type, IMS_MT_DOCKER_MANIFEST);
  imgstore_manifest_unref(m);
  m = must_parse(V2(
      TYPE(IMS_MT_DOCKER_LIST) "\"manifests\":[" DESC(IMS_MT_DOCKER_MANIFEST, SHA_A, PLATFORM("linux", "amd64")) "]"));
  assert_int_equal(m->kind, IMGSTORE_MANIFEST_INDEX);
  assert_string_equal(imgstore_descriptor_platform(imgstore_manifest_entry(m, 0)), "linux/amd64");
  assert_null(imgstore_manifest_config(m));
  imgstore_manifest_unref(m);
}

static void test_implied_media_type(void **state) {
  imgstore_manifest *m = must_parse(IMAGE(""));
  assert_string_equal(m->media_type, IMS_MT_OCI_MANIFEST);
  imgstore_manifest_unref(m);
  m = must_parse(INDEX(""));
  assert_string_equal(m->media_type, IMS_MT_OCI_INDEX);
  assert_int_equal(m->count, 0);
  imgstore_manifest_unref(m);
  m = must_parse(V2("\"manifests\":null"));
  assert_int_equal(m->kind, IMGSTORE_MANIFEST_INDEX);
  imgstore_manifest_unref(m);
  m = must_parse(V2(CONFIG ",\"layers\":null"));
  assert_int_equal(m->kind, IMGSTORE_MANIFEST_IMAGE);
  imgstore_manifest_unref(m);
}

static void test_artifacts(void **state) {
  imgstore_manifest *m = must_parse(V2("\"artifactType\":\"application/sbom\",\"config\":" DESC(
      IMS_MT_OCI_EMPTY, SHA_A, "") "," LAYERS ",\"subject\":" ENTRY("")));
  assert_int_equal(m->kind, IMGSTORE_MANIFEST_ARTIFACT);
  assert_string_equal(imgstore_manifest_artifact_type(m), "application/sbom");
  assert_string_equal(imgstore_descriptor_digest(imgstore_manifest_subject(m)), SHA_A);
  imgstore_manifest_unref(m);
  m = must_parse(V2("\"config\":" DESC("application/vnd.cncf.helm.config.v1+json", SHA_A, "") "," LAYERS));
  assert_int_equal(m->kind, IMGSTORE_MANIFEST_ARTIFACT);
  assert_string_equal(imgstore_manifest_artifact_type(m), "application/vnd.cncf.helm.config.v1+json");
  imgstore_manifest_unref(m);
  m = must_parse(V2("\"artifactType\":\"x/y\"," CONFIG "," LAYERS));
  assert_int_equal(m->kind, IMGSTORE_MANIFEST_IMAGE);
  imgstore_manifest_unref(m);
  m = must_parse(V2("\"config\":" DESC("application/octet-stream", SHA_A, "") "," LAYERS));
  assert_int_equal(m->kind, IMGSTORE_MANIFEST_IMAGE);
  imgstore_manifest_unref(m);
}

static void test_announced(void **state) {
  static const struct {
    const char *text, *announced, *media_type; /* NULL: refused */
  } cases[] = {
      {IMAGE(TYPE(IMS_MT_OCI_MANIFEST)), IMS_MT_OCI_MANIFEST, IMS_MT_OCI_MANIFEST},
      {IMAGE(TYPE(IMS_MT_OCI_MANIFEST)), "Application/vnd.oci.image.manifest.v1+JSON; charset=utf-8",
       IMS_MT_OCI_MANIFEST},
      {IMAGE(TYPE(IMS_MT_OCI_MANIFEST)), "application/json; charset=utf-8", IMS_MT_OCI_MANIFEST},
      {IMAGE(TYPE(IMS_MT_OCI_MANIFEST)), "application/octet-stream", IMS_MT_OCI_MANIFEST},
      {IMAGE(TYPE(IMS_MT_OCI_MANIFEST)), "text/plain", IMS_MT_OCI_MANIFEST},
      {IMAGE(TYPE(IMS_MT_OCI_MANIFEST)), "", IMS_MT_OCI_MANIFEST},
      {IMAGE(""), IMS_MT_OCI_MANIFEST, IMS_MT_OCI_MANIFEST},
      {IMAGE(""), IMS_MT_DOCKER_MANIFEST ";x=y", IMS_MT_DOCKER_MANIFEST},
      {IMAGE(TYPE(IMS_MT_OCI_MANIFEST)), IMS_MT_DOCKER_MANIFEST, NULL},
      {IMAGE(TYPE(IMS_MT_OCI_MANIFEST)), IMS_MT_OCI_INDEX, NULL},
      {IMAGE(""), IMS_MT_OCI_INDEX, NULL},
      {IMAGE(""), "text/html", NULL},
      {INDEX(""), IMS_MT_OCI_MANIFEST, NULL},
      {INDEX(""), IMS_MT_DOCKER_LIST, IMS_MT_DOCKER_LIST},
      {INDEX(""), IMS_MT_OCI_CONFIG, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    imgstore_manifest *m;
    if (!cases[i].media_type) {
      refuse_as(cases[i].text, cases[i].announced, IMGSTORE_EFORMAT, "announced as");
      continue;
    }
    assert_int_equal(parse_as(&m, cases[i].text, cases[i].announced, NULL), IMGSTORE_OK);
    assert_string_equal(m->media_type, cases[i].media_type);
    imgstore_manifest_unref(m);
  }
}

/* CVE-2021-41190: one document, two readings. */
static void test_ambiguous(void **state) {
  refuse(V2("\"manifests\":[]," CONFIG "," LAYERS), IMGSTORE_EFORMAT, "as well as");
  refuse(V2("\"manifests\":[],\"layers\":[]"), IMGSTORE_EFORMAT, "as well as");
  refuse(V2("\"manifests\":[]," CONFIG), IMGSTORE_EFORMAT, "as well as");
  refuse(V2("\"manifests\":null," CONFIG "," LAYERS), IMGSTORE_EFORMAT, "as well as");
  refuse(V2(TYPE(IMS_MT_OCI_INDEX) CONFIG "," LAYERS), IMGSTORE_EFORMAT, "mediaType");
  refuse(V2(TYPE(IMS_MT_OCI_MANIFEST) "\"manifests\":[]"), IMGSTORE_EFORMAT, "mediaType");
  refuse(V2(CONFIG "," LAYERS ",\"Layers\":[]"), IMGSTORE_EFORMAT, "twice");
  refuse(V2(CONFIG "," LAYERS ",\"\\u006cayers\":[]"), IMGSTORE_EFORMAT, "twice");
}

static void test_schema(void **state) {
  static const char schema1[] = "{\"schemaVersion\":1,\"name\":\"a\",\"tag\":\"b\",\"fsLayers\":[],\"history\":[]}";
  imgstore_manifest *m;
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(parse_as(&m, schema1, IMS_MT_DOCKER_V1_SIGNED, &err), IMGSTORE_EUNSUPPORTED);
  assert_string_equal(err.message, "h.io/a:b: unsupported: schema 1");
  refuse(schema1, IMGSTORE_EUNSUPPORTED, "unsupported: schema 1");
  refuse_as(schema1, "application/json", IMGSTORE_EUNSUPPORTED, "unsupported: schema 1");
  refuse(V2("\"fsLayers\":[]," CONFIG "," LAYERS), IMGSTORE_EUNSUPPORTED, "schema 1");
  refuse("{" CONFIG "," LAYERS "}", IMGSTORE_EFORMAT, "schemaVersion is missing");
  refuse("{\"schemaVersion\":\"2\"," CONFIG "," LAYERS "}", IMGSTORE_EFORMAT, "schemaVersion is not 2");
  refuse("{\"schemaVersion\":2.0," CONFIG "," LAYERS "}", IMGSTORE_EFORMAT, "schemaVersion is not 2");
  refuse("{\"schemaVersion\":3," CONFIG "," LAYERS "}", IMGSTORE_EFORMAT, "schemaVersion is not 2");
  refuse(V2(TYPE("application/vnd.oci.artifact.manifest.v1+json") "\"blobs\":[]"), IMGSTORE_EFORMAT, "neither");
  refuse(V2(TYPE("application/x") CONFIG "," LAYERS), IMGSTORE_EUNSUPPORTED, "application/x");
}

static void test_malformed(void **state) {
  static const struct {
    const char *text, *message;
  } cases[] = {
      {"", "unexpected end"},
      {"[]", "not a JSON object"},
      {"<html>", "unexpected character"},
      {V2("\"a\":1"), "neither"},
      {V2("\"mediaType\":1," CONFIG "," LAYERS), "mediaType is not a string"},
      {V2(LAYERS), "config is missing"},
      {V2(CONFIG), "layers is missing"},
      {V2("\"config\":[]," LAYERS), "config is not an object"},
      {V2(CONFIG ",\"layers\":{}"), "layers is not an array"},
      {V2(CONFIG ",\"layers\":[1]"), "layers[0]: not an object"},
      {V2("\"manifests\":{}"), "manifests is not an array"},
      {INDEX("{}"), "manifests[0]: digest is missing"},
      {INDEX(ENTRY("") ",{\"digest\":\"" SHA_A "\"}"), "manifests[1]: size is missing"},
      {INDEX("{\"digest\":\"" SHA_A "\",\"size\":-1}"), "size is not an integer"},
      {INDEX("{\"digest\":\"" SHA_A "\",\"size\":1.5}"), "size is not an integer"},
      {INDEX("{\"digest\":\"" SHA_A "\",\"size\":1e3}"), "size is not an integer"},
      {INDEX("{\"digest\":\"" SHA_A "\",\"size\":\"7\"}"), "size is not an integer"},
      {INDEX("{\"digest\":\"" SHA_A "\",\"size\":9007199254740993}"), "size is not an integer"},
      {INDEX("{\"digest\":\"sha256:../../../x\",\"size\":7}"), "manifests[0]: digest \"sha256:../../../x\""},
      {INDEX("{\"digest\":7,\"size\":7}"), "digest is not a string"},
      {INDEX("{\"digest\":\"" SHA_A "\",\"size\":7,\"mediaType\":7}"), "mediaType is not a string"},
      {INDEX(ENTRY(",\"annotations\":{\"k\":1}")), "annotations: the value of \"k\" is not a string"},
      {INDEX(ENTRY(",\"annotations\":[]")), "annotations is not an object"},
      {INDEX(ENTRY(",\"urls\":\"x\"")), "urls is not an array"},
      {INDEX(ENTRY(",\"urls\":[1]")), "urls: item 0 is not a string"},
      {INDEX(ENTRY(",\"platform\":\"linux\"")), "platform is not an object"},
      {INDEX(ENTRY(",\"platform\":{\"os\":1}")), "platform: os is not a string"},
      {INDEX(ENTRY(",\"platform\":{\"os\":\"" HEX_A "\"}")), "platform: os is longer"},
      {INDEX(ENTRY(",\"artifactType\":[]")), "artifactType is not a string"},
      {INDEX(ENTRY(",\"data\":1")), "data is not a string"},
      {INDEX(ENTRY(",\"data\":\"a\"")), "data is not base64"},
      {V2("\"annotations\":{\"a\":null}," CONFIG "," LAYERS), "the value of \"a\" is not a string"},
      {V2("\"subject\":{}," CONFIG "," LAYERS), "subject: digest is missing"},
      {V2("\"artifactType\":1," CONFIG "," LAYERS), "artifactType is not a string"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    refuse(cases[i].text, IMGSTORE_EFORMAT, cases[i].message);
  refuse(INDEX("{\"digest\":\"sha384:" HEX_A "\",\"size\":7}"), IMGSTORE_EUNSUPPORTED, "unknown algorithm");
}

static void test_embedded_data(void **state) {
  static const char good[] =
      INDEX("{\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2,"
            "\"data\":\"e30=\"}");
  imgstore_manifest *m = must_parse(good);
  assert_memory_equal(imgstore_manifest_entry(m, 0)->data, "{}", 2);
  imgstore_manifest_unref(m);
  refuse(INDEX("{\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":3,"
               "\"data\":\"e30=\"}"),
         IMGSTORE_EDIGEST, "data is 2 bytes");
  refuse(INDEX("{\"digest\":\"" SHA_A "\",\"size\":2,\"data\":\"e30=\"}"), IMGSTORE_EDIGEST, "data is 2 bytes");
}

static void test_expected_digest(void **state) {
  static const char text[] = IMAGE("");
  imgstore_manifest *m;
  ims_digest digest;
  ims_error err = IMS_ERROR_INIT;
  ims_digest_of(&digest, IMS_HASH_SHA512, text, sizeof text - 1);
  assert_int_equal(ims_manifest_parse(&m, alloc, text, sizeof text - 1, NULL, &digest, NULL, "x", NULL), IMGSTORE_OK);
  assert_string_equal(m->digest.text, digest.text);
  imgstore_manifest_unref(m);
  digest.text[20] = digest.text[20] == '0' ? '1' : '0';
  assert_int_equal(ims_manifest_parse(&m, alloc, text, sizeof text - 1, NULL, &digest, NULL, "x", &err),
                   IMGSTORE_EDIGEST);
  assert_null(m);
  assert_non_null(strstr(err.message, digest.text));
}

static void test_limits(void **state) {
  static const char text[] = INDEX(ENTRY("") "," ENTRY("") "," ENTRY(""));
  ims_manifest_limits limits = {sizeof text - 1, 3};
  imgstore_manifest *m;
  assert_int_equal(ims_manifest_parse(&m, alloc, text, sizeof text - 1, NULL, NULL, &limits, "x", NULL), IMGSTORE_OK);
  imgstore_manifest_unref(m);
  limits.max_entries = 2;
  assert_int_equal(ims_manifest_parse(&m, alloc, text, sizeof text - 1, NULL, NULL, &limits, "x", NULL),
                   IMGSTORE_ELIMIT);
  limits = (ims_manifest_limits){sizeof text - 2, 3};
  assert_int_equal(ims_manifest_parse(&m, alloc, text, sizeof text - 1, NULL, NULL, &limits, "x", NULL),
                   IMGSTORE_ELIMIT);
  assert_null(m);
}

static void chooses(const char *text, const char *platform, int entry) {
  imgstore_manifest *m = must_parse(text);
  ims_platform p;
  assert_int_equal(ims_platform_parse(&p, platform, NULL), IMGSTORE_OK);
  const imgstore_descriptor *d = ims_manifest_choose(m, &p);
  assert_int_equal(d ? (int)(d - m->entries) : -1, entry);
  imgstore_manifest_unref(m);
}

#define VARIANT(arch, v) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\",\"variant\":\"" v "\"}"
#define ATTESTATION ENTRY(PLATFORM("unknown", "unknown") ",\"annotations\":{\"vnd.docker.reference.type\":\"x\"}")

static void test_choose(void **state) {
  static const char arms[] = INDEX(ENTRY(VARIANT("arm", "v5")) "," ENTRY(VARIANT("arm", "v6")) "," ENTRY(
      PLATFORM("linux", "amd64")) "," ENTRY(VARIANT("arm64", "v8")) "," ENTRY(PLATFORM("linux", "amd64")));
  chooses(arms, "linux/amd64", 2);
  chooses(arms, "linux/arm64", 3);
  chooses(arms, "linux/arm/v7", 1);
  chooses(arms, "linux/arm/v5", 0);
  chooses(arms, "linux/386", -1);
  chooses(arms, "windows/amd64", -1);
  chooses(INDEX(ENTRY("") "," ATTESTATION), "linux/amd64", 0);
  chooses(INDEX(ATTESTATION), "linux/amd64", -1);
  chooses(INDEX(ATTESTATION "," ENTRY(PLATFORM("linux", "amd64"))), "linux/amd64", 1);
  chooses(INDEX(ENTRY(PLATFORM("linux", "amd64") ",\"annotations\":{\"vnd.docker.reference.type\":\"x\"}")),
          "linux/amd64", -1);
  chooses(INDEX(ENTRY("") "," ENTRY("")), "linux/amd64", -1);
  chooses(INDEX(ENTRY("") "," ENTRY(PLATFORM("linux", "arm64"))), "linux/amd64", -1);
  chooses(INDEX(ENTRY("") "," ENTRY(PLATFORM("linux", "amd64"))), "linux/amd64", 1);
  chooses(INDEX(ENTRY(",\"platform\":{}")), "linux/amd64", 0);
  chooses(INDEX(ENTRY(PLATFORM("linux", "arm64"))), "linux/amd64", -1);
  chooses(INDEX(ENTRY(PLATFORM("linux", "x86_64"))), "linux/amd64", 0);
  chooses(INDEX(DESC("application/sbom", SHA_B, "")), "linux/amd64", -1);
  chooses(INDEX(ENTRY(",\"artifactType\":\"a/b\"")), "linux/amd64", -1);
  chooses(INDEX(DESC(IMS_MT_OCI_INDEX, SHA_B, "")), "linux/amd64", 0);
  chooses(INDEX(""), "linux/amd64", -1);
  chooses(IMAGE(""), "linux/amd64", -1);
}

static void test_platforms(void **state) {
  imgstore_manifest *m = must_parse(INDEX(ENTRY(PLATFORM("linux", "amd64")) "," ATTESTATION "," ENTRY(
      VARIANT("arm64", "v8")) "," ENTRY("") "," ENTRY(PLATFORM("linux", "amd64"))));
  char out[64];
  ims_manifest_platforms(m, out, sizeof out);
  assert_string_equal(out, "linux/amd64, linux/arm64/v8");
  ims_manifest_platforms(m, out, 20);
  assert_string_equal(out, "linux/amd64, ...");
  for (size_t n = 1; n <= 40; n++) {
    memset(out, 'x', sizeof out);
    ims_manifest_platforms(m, out, n);
    assert_true(memchr(out, 0, n) && out[n] == 'x');
  }
  imgstore_manifest_unref(m);
}

static void test_lone_descriptor(void **state) {
  static const char text[] =
      "{\"entry\":" ENTRY(",\"annotations\":{\"org.opencontainers.image.ref.name\":\"latest\"}") "}";
  ims_json *json;
  imgstore_descriptor *d;
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_json_parse(&json, alloc, text, sizeof text - 1, "x", NULL), IMGSTORE_OK);
  const ims_json_value *root = ims_json_root(json);
  assert_int_equal(ims_descriptor_parse(&d, alloc, ims_json_get(root, "entry"), "index.json", NULL), IMGSTORE_OK);
  assert_string_equal(ims_descriptor_annotation(d, "org.opencontainers.image.ref.name"), "latest");
  ims_descriptor_free(alloc, d);
  assert_int_equal(ims_descriptor_parse(&d, alloc, root, "index.json", &err), IMGSTORE_EFORMAT);
  assert_string_equal(err.message, "index.json: digest is missing");
  assert_null(d);
  assert_int_equal(ims_descriptor_parse(&d, alloc, NULL, NULL, NULL), IMGSTORE_EFORMAT);
  ims_descriptor_free(alloc, NULL);
  ims_json_free(json);
}

static void test_null(void **state) {
  size_t size = 1;
  assert_string_equal(imgstore_descriptor_digest(NULL), "");
  assert_int_equal(imgstore_manifest_count(NULL), 0);
  assert_null(imgstore_manifest_entry(NULL, 0));
  assert_null(imgstore_manifest_data(NULL, &size));
  assert_int_equal(size, 0);
  assert_int_equal(imgstore_manifest_annotation(NULL, 0, NULL, NULL), IMGSTORE_EINVALID);
  imgstore_manifest_unref(NULL);
}

static void test_allocation_failures(void **state) {
  static const char text[] = V2("\"annotations\":{\"a\":\"b\"},\"manifests\":[" ENTRY(
      PLATFORM("linux", "amd64") ",\"urls\":[\"u\"],\"annotations\":{\"c\":\"d\"}") "],\"subject\":" ENTRY(""));
  failing f = {0};
  for (size_t i = 0;; i++) {
    ims_alloc a = failing_alloc(&f, i);
    imgstore_manifest *m;
    int32_t rc = ims_manifest_parse(&m, &a, text, sizeof text - 1, NULL, NULL, NULL, "x", NULL);
    assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    imgstore_manifest_unref(m);
    assert_int_equal(f.live, 0);
    if (!f.failed)
      break;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_image),
      cmocka_unit_test(test_docker),
      cmocka_unit_test(test_implied_media_type),
      cmocka_unit_test(test_artifacts),
      cmocka_unit_test(test_announced),
      cmocka_unit_test(test_ambiguous),
      cmocka_unit_test(test_schema),
      cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_embedded_data),
      cmocka_unit_test(test_expected_digest),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_choose),
      cmocka_unit_test(test_platforms),
      cmocka_unit_test(test_lone_descriptor),
      cmocka_unit_test(test_null),
      cmocka_unit_test(test_allocation_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
