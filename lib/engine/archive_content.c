/*
 * engine/archive_content.c (L4) - the content of one file of an archive as it streams by.
 */
#include "engine/archive_content.h"

#include <string.h>

enum { OUT_SIZE = 128 << 10 };

int32_t ims_archive_content_init(ims_archive_content *c, const ims_core *core, ims_error *err) {
  memset(c, 0, sizeof *c);
  c->core = core;
  c->out = ims_malloc(&core->alloc, OUT_SIZE);
  return c->out ? IMGSTORE_OK : ims_fail_nomem(err);
}

void ims_archive_content_free(ims_archive_content *c) {
  if (!c->core)
    return;
  for (size_t i = 0; i < sizeof c->decoders / sizeof *c->decoders; i++)
    ims_decoder_free(c->decoders[i]);
  ims_free(&c->core->alloc, c->out);
  memset(c, 0, sizeof *c);
}

void ims_archive_content_begin(ims_archive_content *c, int32_t algorithm) {
  c->algorithm = algorithm;
  c->format = IMS_FORMAT_NONE;
  c->head_size = 0;
  c->decoder = NULL;
}

static int32_t open_decoder(ims_archive_content *c, ims_error *err) {
  const imgstore_context_options *own = &c->core->limits;
  const ims_decoder_limits limits = {own->max_layer_output, own->max_layer_ratio, own->max_zstd_window};
  ims_decoder **decoder = &c->decoders[c->format];
  int32_t rc = *decoder ? ims_decoder_reset(*decoder, err)
                        : ims_decoder_new(decoder, &c->core->alloc, c->format, IMS_ENGINE_BEST, &limits, err);
  ims_hash_init(&c->hash, c->algorithm);
  if (!rc)
    c->decoder = *decoder;
  return rc;
}

static int32_t decode(ims_archive_content *c, const uint8_t *data, size_t size, ims_error *err) {
  size_t used, made;
  do {
    int32_t rc = ims_decoder_run(c->decoder, data, size, &used, c->out, OUT_SIZE, &made, err);
    if (rc)
      return rc;
    ims_hash_update(&c->hash, c->out, made);
    data += used;
    size -= used;
  } while (size || made);
  return IMGSTORE_OK;
}

/* The first bytes tell the format. */
static int32_t take_head(ims_archive_content *c, ims_error *err) {
  c->format = ims_format_sniff(c->head, c->head_size);
  if (!c->algorithm || c->format == IMS_FORMAT_NONE)
    return IMGSTORE_OK;
  int32_t rc = open_decoder(c, err);
  return rc ? rc : decode(c, c->head, c->head_size, err);
}

int32_t ims_archive_content_update(ims_archive_content *c, const uint8_t *data, size_t size, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  if (c->head_size < IMS_CONTENT_HEAD) {
    size_t missing = IMS_CONTENT_HEAD - c->head_size, part = size < missing ? size : missing;
    memcpy(c->head + c->head_size, data, part);
    c->head_size += part;
    data += part;
    size -= part;
    if (c->head_size == IMS_CONTENT_HEAD)
      rc = take_head(c, err);
  }
  return rc || !c->decoder || !size ? rc : decode(c, data, size, err);
}

int32_t ims_archive_content_finish(ims_archive_content *c, ims_digest *digest, ims_error *err) {
  memset(digest, 0, sizeof *digest);
  int32_t rc = c->head_size < IMS_CONTENT_HEAD ? take_head(c, err) : IMGSTORE_OK;
  if (!rc && c->decoder)
    rc = ims_decoder_finish(c->decoder, err);
  if (!rc && c->decoder)
    ims_digest_from_hash(digest, &c->hash);
  return rc;
}
