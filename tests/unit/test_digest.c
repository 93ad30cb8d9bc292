/* tests/unit/test_digest.c - digest text and media types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "compress/decoder.h"
#include "oci/digest.h"
#include "oci/mediatype.h"

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HEX128                                                                                                         \
  "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a5" \
  "38327af927da3e"

static void test_good(void **state) {
  ims_digest d;
  assert_int_equal(ims_digest_parse(&d, "sha256:" HEX64, 71, NULL), IMGSTORE_OK);
  assert_int_equal(d.algorithm, IMS_HASH_SHA256);
  assert_string_equal(d.text, "sha256:" HEX64);
  assert_string_equal(ims_digest_hex(&d), HEX64);
  assert_int_equal(ims_digest_parse(&d, "sha512:" HEX128, 135, NULL), IMGSTORE_OK);
  assert_int_equal(d.algorithm, IMS_HASH_SHA512);
  assert_string_equal(ims_digest_hex(&d), HEX128);
}

static void test_bad(void **state) {
  static const struct {
    const char *text;
    int32_t code;
  } cases[] = {{"", IMGSTORE_EFORMAT},
               {":", IMGSTORE_EFORMAT},
               {"sha256", IMGSTORE_EFORMAT},
               {"sha256:", IMGSTORE_EFORMAT},
               {":" HEX64, IMGSTORE_EFORMAT},
               {"sha256:" HEX64 "0", IMGSTORE_EFORMAT},
               {"sha256:" HEX64 "/../x", IMGSTORE_EFORMAT},
               {"sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", IMGSTORE_EFORMAT},
               {"sha256:g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", IMGSTORE_EFORMAT},
               {"SHA256:" HEX64, IMGSTORE_EFORMAT},
               {" sha256:" HEX64, IMGSTORE_EFORMAT},
               {"sha256 :" HEX64, IMGSTORE_EFORMAT},
               {"../sha256:" HEX64, IMGSTORE_EFORMAT},
               {"sha256:" HEX128, IMGSTORE_EFORMAT},
               {"sha512:" HEX64, IMGSTORE_EFORMAT},
               {"sha256+:" HEX64, IMGSTORE_EFORMAT},
               {"sha384:" HEX64, IMGSTORE_EUNSUPPORTED},
               {"md5:d41d8cd98f00b204e9800998ecf8427e", IMGSTORE_EUNSUPPORTED},
               {"tarsum.v1+sha256:" HEX64, IMGSTORE_EUNSUPPORTED}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ims_digest d = {IMS_HASH_SHA256, "x"};
    ims_error err = IMS_ERROR_INIT;
    if (ims_digest_parse(&d, cases[i].text, strlen(cases[i].text), &err) != cases[i].code)
      fail_msg("%s", cases[i].text);
    assert_int_equal(err.code, cases[i].code);
    assert_int_equal(d.algorithm, 0);
    assert_string_equal(d.text, "");
  }
  ims_digest d;
  char nul[71] = "sha256:" HEX64;
  nul[30] = '\0';
  assert_int_equal(ims_digest_parse(&d, nul, 71, NULL), IMGSTORE_EFORMAT);
  for (size_t n = 0; n < 71; n++)
    assert_int_equal(ims_digest_parse(&d, "sha256:" HEX64, n, NULL), IMGSTORE_EFORMAT);
}

static void test_of(void **state) {
  ims_digest a, b;
  ims_digest_of(&a, IMS_HASH_SHA256, "", 0);
  assert_string_equal(a.text, "sha256:" HEX64);
  ims_digest_of(&b, IMS_HASH_SHA512, "", 0);
  assert_string_equal(b.text, "sha512:" HEX128);
  assert_false(ims_digest_equal(&a, &b));
  b = a;
  assert_true(ims_digest_equal(&a, &b));
  b.text[70] = '6';
  assert_false(ims_digest_equal(&a, &b));
}

static void test_media_types(void **state) {
  assert_int_equal(ims_media_kind(IMS_MT_OCI_INDEX), IMS_MEDIA_INDEX);
  assert_int_equal(ims_media_kind("Application/VND.docker.distribution.manifest.V2+json ; charset=utf-8"),
                   IMS_MEDIA_MANIFEST);
  assert_int_equal(ims_media_kind(IMS_MT_DOCKER_V1_SIGNED), IMS_MEDIA_SCHEMA1);
  assert_int_equal(ims_media_kind("application/vnd.oci.image.manifest.v1+jsonx"), IMS_MEDIA_OTHER);
  assert_int_equal(ims_media_kind(""), IMS_MEDIA_OTHER);
  assert_int_equal(ims_media_kind(NULL), IMS_MEDIA_OTHER);
  assert_int_equal(ims_media_layer_format("application/vnd.oci.image.layer.v1.tar"), IMS_FORMAT_NONE);
  assert_int_equal(ims_media_layer_format("application/vnd.oci.image.layer.v1.tar+zstd"), IMS_FORMAT_ZSTD);
  assert_int_equal(ims_media_layer_format("application/vnd.docker.image.rootfs.diff.tar.gzip"), IMS_FORMAT_GZIP);
  assert_int_equal(ims_media_layer_format("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), -1);
  assert_int_equal(ims_media_layer_format(IMS_MT_OCI_CONFIG), -1);
  assert_int_equal(ims_media_kind("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
                   IMS_MEDIA_LAYER_FOREIGN);
  assert_true(ims_media_equal("a/b", " A/B;x=y"));
  assert_false(ims_media_equal("a/b", "a/bc"));
  assert_false(ims_media_equal("a/b", NULL));
  assert_string_equal(ims_media_canonical("APPLICATION/vnd.oci.image.index.v1+json;v=1"), IMS_MT_OCI_INDEX);
  assert_null(ims_media_canonical("text/html"));
  static const char *const types[] = {IMS_MT_OCI_INDEX, IMS_MT_OCI_MANIFEST, IMS_MT_DOCKER_LIST,
                                      IMS_MT_DOCKER_MANIFEST};
  for (size_t i = 0; i < 4; i++)
    assert_non_null(strstr(ims_media_manifest_accept(), types[i]));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_of),
                                     cmocka_unit_test(test_media_types)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
