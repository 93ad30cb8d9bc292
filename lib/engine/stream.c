/*
 * engine/stream.c (L4) - a blob of the store as a stream, decompressed when asked for, hashed as it is read.
 */
#include "compress/decoder.h"
#include "engine/content.h"
#include "oci/mediatype.h"

enum { INPUT_SIZE = 256 << 10 };

struct imgstore_stream {
  ims_core *core;
  ims_blob blob;
  bool has_blob;
  ims_decoder *decoder; /* NULL: the blob as it is */
  uint8_t *input;
  size_t at, filled;
  uint64_t offset;
  ims_hash hash;
  ims_digest expected;
  bool ended;
  int32_t failed; /* final: what comes after an error must not look like a verified end */
};

const ims_alloc *ims_stream_alloc(const imgstore_stream *stream) {
  return &stream->core->alloc;
}

void ims_stream_close(imgstore_stream *stream) {
  if (!stream)
    return;
  ims_core *core = stream->core;
  imgstore_store *store = stream->blob.store;
  if (stream->has_blob)
    ims_blob_close(&stream->blob);
  ims_store_unref(store);
  ims_decoder_free(stream->decoder);
  ims_free(&core->alloc, stream->input);
  ims_free(&core->alloc, stream);
  ims_core_unref(core);
}

static int32_t set_up(imgstore_stream *s, imgstore_store *store, const ims_digest *blob, int32_t format,
                      ims_error *err) {
  const imgstore_context_options *limits = &s->core->limits;
  const ims_decoder_limits decoder_limits = {limits->max_layer_output, limits->max_layer_ratio,
                                             limits->max_zstd_window};
  int32_t rc = ims_blob_open(&s->blob, store, blob, err);
  if (rc)
    return ims_fail(err, rc, "blob %s: not in the store", blob->text);
  s->has_blob = true;
  if (format == IMS_FORMAT_NONE)
    return IMGSTORE_OK;
  s->input = ims_malloc(&s->core->alloc, INPUT_SIZE);
  if (!s->input)
    return ims_fail_nomem(err);
  return ims_decoder_new(&s->decoder, &s->core->alloc, format, IMS_ENGINE_BEST, &decoder_limits, err);
}

int32_t ims_stream_open(imgstore_stream **stream, imgstore_store *store, const ims_digest *blob, int32_t format,
                        const ims_digest *expected, ims_error *err) {
  *stream = NULL;
  imgstore_stream *s = ims_calloc(&store->core->alloc, 1, sizeof *s);
  if (!s)
    return ims_fail_nomem(err);
  s->core = ims_core_ref(store->core);
  s->expected = *expected;
  ims_hash_init(&s->hash, expected->algorithm);
  int32_t rc = set_up(s, store, blob, format, err);
  s->blob.store = ims_store_ref(store);
  if (rc) {
    ims_stream_close(s);
    return rc;
  }
  *stream = s;
  return IMGSTORE_OK;
}

int32_t ims_stream_open_layer(imgstore_stream **stream, imgstore_layer *layer, int32_t form, ims_error *err) {
  *stream = NULL;
  if (form == IMGSTORE_LAYER_RAW)
    return ims_stream_open(stream, layer->store, &layer->digest, IMS_FORMAT_NONE, &layer->digest, err);
  if (form != IMGSTORE_LAYER_UNCOMPRESSED)
    return ims_fail(err, IMGSTORE_EINVALID, "form: %d is not one of IMGSTORE_LAYER_*", form);
  int32_t format = ims_media_layer_format(layer->media_type);
  if (format < 0)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "layer %s: cannot read media type \"%s\"", layer->digest.text,
                    layer->media_type);
  return ims_stream_open(stream, layer->store, &layer->digest, format, &layer->diff_id, err);
}

static int32_t finish(imgstore_stream *s, ims_error *err) {
  ims_digest got;
  if (s->ended)
    return IMGSTORE_OK;
  if (s->decoder) {
    int32_t rc = ims_decoder_finish(s->decoder, err);
    if (rc)
      return ims_error_prefix(err, "blob %s", s->blob.digest.text);
  }
  ims_digest_from_hash(&got, &s->hash);
  s->ended = true;
  if (ims_digest_equal(&got, &s->expected))
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EDIGEST, "blob %s: content hashes to %s, not %s", s->blob.digest.text, got.text,
                  s->expected.text);
}

/* One turn of the decoder; *got may stay 0 without the end being reached. */
static int32_t decode(imgstore_stream *s, void *buffer, size_t size, size_t *got, bool *end, ims_error *err) {
  if (s->at == s->filled) {
    s->at = s->filled = 0;
    int32_t rc = ims_blob_read(&s->blob, s->offset, s->input, INPUT_SIZE, &s->filled, err);
    if (rc)
      return rc;
    s->offset += s->filled;
  }
  size_t used, left = s->filled - s->at;
  int32_t rc = ims_decoder_run(s->decoder, s->input + s->at, left, &used, buffer, size, got, err);
  if (rc)
    return ims_error_prefix(err, "blob %s", s->blob.digest.text);
  s->at += used;
  *end = !left && !*got;
  return IMGSTORE_OK;
}

static int32_t read_some(imgstore_stream *s, void *buffer, size_t size, size_t *got, ims_error *err) {
  bool end = s->ended;
  int32_t rc = IMGSTORE_OK;
  while (!rc && !*got && !end) {
    if (s->decoder) {
      rc = decode(s, buffer, size, got, &end, err);
    } else {
      rc = ims_blob_read(&s->blob, s->offset, buffer, size, got, err);
      s->offset += *got;
      end = !*got;
    }
  }
  if (rc)
    return rc;
  if (*got)
    ims_hash_update(&s->hash, buffer, *got);
  return end ? finish(s, err) : IMGSTORE_OK;
}

int32_t ims_stream_read(imgstore_stream *s, void *buffer, size_t size, size_t *got, ims_error *err) {
  *got = 0;
  if (s->failed)
    return ims_fail(err, s->failed, "blob %s: read on after an error", s->blob.digest.text);
  if (!size)
    return IMGSTORE_OK;
  s->failed = read_some(s, buffer, size, got, err);
  if (s->failed)
    *got = 0;
  return s->failed;
}
