/* tests/fuzz/fuzz_reference.c - a name that is taken has parts that are valid alone, and reads back as itself. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "oci/platform.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
  if (!truth)
    abort();
}

static void require_same(const imgstore_reference *r, const char *text) {
  imgstore_reference *again;
  require(ims_reference_parse(&again, &ims_alloc_default, text, NULL) == IMGSTORE_OK);
  require(strcmp(again->name, r->name) == 0 && strcmp(again->familiar, r->familiar) == 0);
  imgstore_reference_unref(again);
}

static void check_reference(const char *text) {
  imgstore_reference *r;
  ims_error err = IMS_ERROR_INIT;
  if (ims_reference_parse(&r, &ims_alloc_default, text, &err) != IMGSTORE_OK) {
    require(!r && err.message[0]);
    return;
  }
  require(ims_host_check(r->host, strlen(r->host), NULL) == IMGSTORE_OK);
  require(ims_repository_check(r->repository, strlen(r->repository), NULL) == IMGSTORE_OK);
  require(!r->tag || ims_tag_check(r->tag, strlen(r->tag), NULL) == IMGSTORE_OK);
  require(r->tag || r->digest.algorithm);
  require(!strstr(r->host, "..") && !strstr(r->repository, "..") && !strstr(r->repository, "//"));
  require(strlen(r->host) + 1 + strlen(r->repository) <= 255);
  require_same(r, r->name);
  require_same(r, r->familiar);
  imgstore_reference_unref(r);
}

static void check_platform(const char *text) {
  ims_platform p, again;
  char out[IMS_PLATFORM_TEXT];
  if (ims_platform_parse(&p, text, NULL) != IMGSTORE_OK)
    return;
  ims_platform_text(&p, out);
  require(ims_platform_parse(&again, out, NULL) == IMGSTORE_OK);
  require(strcmp(p.os, again.os) == 0 && strcmp(p.variant, again.variant) == 0);
  require(strcmp(p.architecture, again.architecture) == 0 && ims_platform_score(&p, &again) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = ims_strndup(&ims_alloc_default, (const char *)data, size);
  if (!text)
    return 0;
  ims_digest digest;
  if (ims_digest_parse(&digest, (const char *)data, size, NULL) == IMGSTORE_OK)
    require(ims_is_lower_hex(ims_digest_hex(&digest), 2 * ims_hash_size(digest.algorithm)));
  check_reference(text);
  check_platform(text);
  ims_free(&ims_alloc_default, text);
  return 0;
}
