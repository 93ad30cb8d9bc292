/*
 * engine/blob_bytes.c (L4) - a blob into memory. A mirror that sends wrong bytes is not asked again.
 */
#include "engine/blob_bytes.h"

#include <string.h>

void ims_blob_bytes_init(ims_blob_bytes *b, imgstore_operation *op, ims_client *client, const char *repository) {
  b->op = op;
  b->client = client;
  b->repository = repository;
  ims_buf_init(&b->bytes, &op->core->alloc, 0);
}

static uint64_t position(void *data) {
  const ims_blob_bytes *b = data;
  return b->bytes.size;
}

static size_t body(void *data, const uint8_t *bytes, size_t size) {
  ims_blob_bytes *b = data;
  if (ims_buf_append(&b->bytes, bytes, size) == IMGSTORE_OK)
    return size;
  b->failed = ims_fail_nomem(&b->err);
  ims_lane_signal(&b->op->lane);
  return 0; /* paused for good: the next advance ends it */
}

static void done(void *data, int32_t code, const ims_error *err) {
  ims_blob_bytes *b = data;
  b->fetch = NULL;
  b->done = true;
  if (code && !b->failed) {
    b->failed = code;
    b->err = *err;
  }
  ims_lane_signal(&b->op->lane);
}

static int32_t request(ims_blob_bytes *b, ims_error *err) {
  const ims_blob_sink sink = {b, position, body, done};
  const ims_blob_request wanted = {b->repository, b->digest, b->size, NULL, 0};
  b->from_mirrors = ims_client_uses_mirrors(b->client);
  b->done = false;
  return ims_fetch_blob(b->client, &wanted, &sink, &b->fetch, err);
}

int32_t ims_blob_bytes_start(ims_blob_bytes *b, const imgstore_descriptor *d, uint64_t max_size, ims_error *err) {
  ims_blob_bytes_reset(b);
  b->digest = d->digest;
  b->size = d->size;
  if (d->size > max_size || d->size > SIZE_MAX / 2)
    return ims_fail(err, IMGSTORE_ELIMIT, "blob %s: %llu bytes, at most %llu are read", d->digest.text,
                    (unsigned long long)d->size, (unsigned long long)max_size);
  b->started = true;
  b->bytes.ceiling = (size_t)d->size;
  if (!d->data && d->size)
    return request(b, err);
  b->done = true;
  return !d->size                                              ? IMGSTORE_OK
         : ims_buf_append(&b->bytes, d->data, (size_t)d->size) ? ims_fail_nomem(err)
                                                               : IMGSTORE_OK;
}

static int32_t check(ims_blob_bytes *b) {
  ims_digest have;
  ims_digest_of(&have, b->digest.algorithm, ims_buf_text(&b->bytes), b->bytes.size);
  if (b->bytes.size == b->size && ims_digest_equal(&have, &b->digest))
    return IMGSTORE_OK;
  if (b->from_mirrors) {
    ims_client_distrust_mirrors(b->client);
    ims_buf_clear(&b->bytes);
    b->failed = request(b, &b->err);
    return b->failed ? b->failed : IMGSTORE_EAGAIN;
  }
  b->failed = ims_fail(&b->err, IMGSTORE_EDIGEST, "blob %s: the content hashes to %s", b->digest.text, have.text);
  return b->failed;
}

int32_t ims_blob_bytes_advance(ims_blob_bytes *b) {
  if (b->failed)
    return b->failed;
  return b->done ? check(b) : IMGSTORE_EAGAIN;
}

void ims_blob_bytes_reset(ims_blob_bytes *b) {
  if (b->fetch)
    ims_fetch_cancel(b->fetch);
  b->fetch = NULL;
  ims_buf_clear(&b->bytes);
  ims_buf_free(&b->bytes);
  b->started = b->done = b->from_mirrors = false;
  b->failed = IMGSTORE_OK;
  ims_error_clear(&b->err);
}
