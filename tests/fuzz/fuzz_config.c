/* tests/fuzz/fuzz_config.c - a config that is taken has no gaps, and inspect makes valid JSON of it. */
#include <stdlib.h>
#include <string.h>

#include "oci/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { MAX_LAYERS = 4, CEILING = 1 << 26 };

static void require(bool truth) {
  if (!truth)
    abort();
}

static void check_config(const ims_config *c, size_t layers) {
  ims_platform p;
  require(c->layer_count == layers);
  for (size_t i = 1; i < IMS_CONFIG_TEXTS; i++)
    require(c->text[i] != NULL);
  for (size_t i = 1; i < IMS_CONFIG_LISTS; i++)
    for (size_t j = 0; j < c->list[i].count; j++)
      require(c->list[i].items[j].key && c->list[i].items[j].value);
  for (size_t i = 0; i < c->history_count; i++) {
    const ims_history *h = &c->history[i];
    require(h->created && h->created_by && h->author && h->comment);
    require(h->layer >= -1 && h->layer < (int32_t)layers);
  }
  for (size_t i = 0; i < layers; i++)
    require(c->diff_ids[i].algorithm && c->chain_ids[i].algorithm);
  ims_config_platform(c, &p);
}

static void check_inspect(const ims_config *c) {
  static const char manifest[] =
      "{\"schemaVersion\":2,\"config\":{\"digest\":\"" DIGEST "\",\"size\":7},\"layers\":[]}";
  static const char *const names[] = {"docker.io/library/a:b", "odd \"name\"\n"};
  imgstore_manifest *m;
  ims_buf out;
  if (ims_manifest_parse(&m, &ims_alloc_default, manifest, sizeof manifest - 1, NULL, NULL, NULL, "m", NULL) !=
      IMGSTORE_OK)
    return;
  ims_buf_init(&out, &ims_alloc_default, CEILING);
  require(ims_config_inspect(c, m, DIGEST, names, 2, &out) == IMGSTORE_OK);
  require(ims_json_check(&ims_alloc_default, ims_buf_text(&out), out.size, "inspect", NULL) == IMGSTORE_OK);
  ims_buf_free(&out);
  imgstore_manifest_unref(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (size_t layers = 0; layers <= MAX_LAYERS; layers++) {
    ims_config *c;
    ims_error err = IMS_ERROR_INIT;
    int32_t rc = ims_config_parse(&c, &ims_alloc_default, data, size, NULL, layers, &err);
    require((rc == IMGSTORE_OK) == (c != NULL) && (rc == IMGSTORE_OK) == (err.message[0] == '\0'));
    if (!c)
      continue;
    check_config(c, layers);
    check_inspect(c);
    ims_config_free(c);
  }
  return 0;
}
