/*
 * engine/publish_blob.c (L4) - the blobs of what is published: where their bytes come from, how many go at a time, and
 * what is told about them. How a blob gets there is ims_push_blob's.
 */
#include <string.h>

#include "engine/publish.h"
#include "oci/mediatype.h"

enum { MAX_BLOBS = 16384, MAX_BUSY = 32 };

static const ims_alloc *alloc_of(const publish *p) {
  return &p->op.core->alloc;
}

static publish_blob *find_blob(const publish *p, const ims_digest *digest) {
  for (size_t i = 0; i < p->blob_count; i++)
    if (ims_digest_equal(&p->blobs[i]->digest, digest))
      return p->blobs[i];
  return NULL;
}

bool publish_has(imgstore_store *store, const ims_digest *digest) {
  ims_blob blob;
  if (ims_blob_open(&blob, store, digest, NULL))
    return false;
  ims_blob_close(&blob);
  return true;
}

/* A layer that is meant to be fetched from elsewhere goes along only when the source has it. */
static bool is_left_out(publish *p, const imgstore_descriptor *d) {
  return d->url_count && ims_media_kind(d->media_type) == IMS_MEDIA_LAYER_FOREIGN &&
         (!p->store || !publish_has(p->store, &d->digest));
}

int32_t publish_add_blob(publish *p, const imgstore_descriptor *d, int32_t object) {
  const publish_blob *known = find_blob(p, &d->digest);
  if (known && known->size != d->size)
    return ims_fail(&p->op.err, IMGSTORE_EFORMAT, "blob %s: is listed with two sizes", d->digest.text);
  if (known || is_left_out(p, d))
    return IMGSTORE_OK;
  int32_t rc = publish_grow(p, &p->blobs, p->blob_count, &p->blob_capacity, MAX_BLOBS, "blobs");
  if (!rc && p->store)
    rc = ims_lease_add(&p->lease, &d->digest, &p->op.err);
  if (rc)
    return rc;
  publish_blob *b = ims_calloc(alloc_of(p), 1, sizeof *b);
  if (!b)
    return ims_fail_nomem(&p->op.err);
  b->job = p;
  b->digest = d->digest;
  b->size = d->size;
  b->object = object;
  b->media_type = d->media_type;
  b->data = d->data;
  b->urls = d->urls;
  b->url_count = d->url_count;
  p->blobs[p->blob_count++] = b;
  return ims_operation_event(&p->op, IMGSTORE_EVENT_PREPARING, object, b->digest.text, NULL, 0, b->size);
}

/* --- where bytes come from -------------------------------------------------------------------------------------------
 */

static int32_t read_embedded(void *data, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  const publish_blob *b = data;
  (void)err;
  memcpy(buffer, b->data + offset, size);
  *got = size;
  return IMGSTORE_OK;
}

static int32_t open_content(publish_blob *b, ims_error *err) {
  int32_t rc = ims_blob_open(&b->content, b->job->store, &b->digest, err);
  if (rc)
    return ims_fail(err, rc, "%s: blob %s is not in the store", b->job->name, b->digest.text);
  b->open = true;
  return IMGSTORE_OK;
}

static int32_t read_stored(void *data, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  publish_blob *b = data;
  int32_t rc = b->open ? IMGSTORE_OK : open_content(b, err);
  if (!rc && b->content.size != b->size)
    rc = ims_fail(err, IMGSTORE_ECORRUPT, "blob %s: has %llu bytes in the store, not %llu", b->digest.text,
                  (unsigned long long)b->content.size, (unsigned long long)b->size);
  if (!rc)
    rc = ims_blob_read(&b->content, offset, buffer, size, got, err);
  if (!rc && !*got)
    rc = ims_fail(err, IMGSTORE_ECORRUPT, "blob %s: ends early in the store", b->digest.text);
  if (!rc)
    b->sent = offset + *got;
  return rc;
}

static int32_t read_relayed(void *data, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  publish_blob *b = data;
  int32_t rc = ims_relay_read(b->relay, offset, buffer, size, got, err);
  if (!rc && *got)
    b->sent = offset + *got;
  return rc;
}

/* --- one blob on its way ---------------------------------------------------------------------------------------------
 */

void publish_end_blob(publish_blob *b) {
  ims_fetch_cancel(b->fetch);
  b->fetch = NULL;
  if (b->open)
    ims_blob_close(&b->content);
  b->open = false;
  if (b->relay) {
    ims_relay_end(b->relay);
    ims_free(alloc_of(b->job), b->relay);
  }
  b->relay = NULL;
}

/* The registry says that the content is not its digest's: is it the store's fault? */
static void blame(publish_blob *b, int32_t *code, const ims_error *err) {
  publish *p = b->job;
  ims_digest have;
  uint64_t size;
  if (!b->open || strcmp(err->registry_code, "DIGEST_INVALID") != 0 ||
      ims_blob_hash(&b->content, &have, &size, NULL) != IMGSTORE_OK || ims_digest_equal(&have, &b->digest))
    return;
  *code =
      ims_fail(&p->op.err, IMGSTORE_ECORRUPT, "blob %s: what the store has hashes to %s", b->digest.text, have.text);
}

static int32_t conclude(publish_blob *b, const ims_push_result *result) {
  publish *p = b->job;
  int32_t event = IMGSTORE_EVENT_UPLOADED, line = IMGSTORE_REPORT_SENT;
  const char *from = NULL;
  if (result->outcome == IMS_UPLOAD_EXISTS) {
    event = IMGSTORE_EVENT_EXISTS;
    line = IMGSTORE_REPORT_PRESENT;
  } else if (result->outcome == IMS_UPLOAD_MOUNTED) {
    event = IMGSTORE_EVENT_MOUNTED;
    line = IMGSTORE_REPORT_MOUNTED;
    from = result->from;
  }
  int32_t rc = publish_report(p, line, from, b->digest.text, b->media_type, b->size);
  if (!rc && result->outcome != IMS_UPLOAD_ABSENT)
    rc = ims_operation_event(&p->op, event, b->object, b->digest.text, from, b->size, b->size);
  return rc;
}

static void blob_done(void *data, int32_t code, const ims_push_result *result, const ims_error *err) {
  publish_blob *b = data;
  publish *p = b->job;
  b->fetch = NULL;
  p->blobs_busy--;
  if (code) {
    blame(b, &code, err);
    publish_fail(p, code, err);
  } else if ((code = conclude(b, result))) {
    publish_fail(p, code, NULL);
  }
  publish_end_blob(b);
  b->state = PUBLISH_DONE;
  ims_lane_signal(&p->op.lane);
}

static int32_t make_relay(publish_blob *b) {
  publish *p = b->job;
  b->relay = ims_calloc(alloc_of(p), 1, sizeof *b->relay);
  if (!b->relay)
    return ims_fail_nomem(&p->op.err);
  ims_relay_init(b->relay, &p->op, p->source, p->from->repository, &b->digest, b->size);
  b->relay->urls = b->urls;
  b->relay->url_count = b->url_count;
  return IMGSTORE_OK;
}

/* A dry run to a store or an archive. */
static int32_t look(publish_blob *b) {
  publish *p = b->job;
  b->state = PUBLISH_DONE;
  return publish_report(p, p->plan && publish_has(p->plan, &b->digest) ? IMGSTORE_REPORT_PRESENT : IMGSTORE_REPORT_SENT,
                        NULL, b->digest.text, b->media_type, b->size);
}

static int32_t start(publish_blob *b) {
  publish *p = b->job;
  if (p->plan || p->archive)
    return look(b);
  const ims_push_request request = {p->to->repository, b->digest, b->size, b->mounts,
                                    b->mount_count,    p->chunk,  false,   p->dry_run};
  const ims_push_source source = {b, b->data ? read_embedded : p->store ? read_stored : read_relayed, blob_done};
  int32_t rc = b->data || p->store || p->dry_run ? IMGSTORE_OK : make_relay(b);
  if (!rc)
    rc = ims_push_blob(p->client, &request, &source, &b->fetch, &p->op.err);
  if (rc)
    return rc;
  b->state = PUBLISH_SENT;
  p->blobs_busy++;
  if (p->blobs_busy <= p->client_limit)
    return IMGSTORE_OK;
  return ims_operation_event(&p->op, IMGSTORE_EVENT_WAITING, b->object, b->digest.text, NULL, 0, b->size);
}

static int32_t tell(publish_blob *b, int64_t now) {
  if (!b->sent || b->sent == b->reported || now - b->reported_at < IMS_PROGRESS_INTERVAL)
    return IMGSTORE_OK;
  b->reported = b->sent;
  b->reported_at = now;
  return ims_operation_event(&b->job->op, IMGSTORE_EVENT_UPLOADING, b->object, b->digest.text, NULL, b->sent, b->size);
}

/* A mirror's bytes are wrong: all of it once more, from the registry itself. */
static int32_t start_over(publish_blob *b) {
  publish *p = b->job;
  ims_client_distrust_mirrors(p->source);
  ims_error_clear(&p->op.err);
  publish_end_blob(b);
  p->blobs_busy--;
  b->state = PUBLISH_NEW;
  b->sent = 0;
  ims_lane_signal(&p->op.lane);
  return IMGSTORE_OK;
}

static int32_t advance(publish_blob *b, int64_t now) {
  int next = IMS_RELAY_REST;
  if (b->state == PUBLISH_NEW)
    return start(b);
  int32_t rc = b->relay ? ims_relay_advance(b->relay, &next, &b->job->op.err) : IMGSTORE_OK;
  if (rc == IMGSTORE_EDIGEST && b->relay->from_mirrors && ims_client_uses_mirrors(b->job->source))
    return start_over(b);
  if (rc)
    return rc;
  if (next == IMS_RELAY_RESUME)
    ims_fetch_resume(b->fetch);
  return tell(b, now);
}

/* --- read piece by piece ---------------------------------------------------------------------------------------------
 */

int32_t publish_read_blob(publish_blob *b, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  if (b->data) {
    b->sent = offset + size;
    return read_embedded(b, offset, buffer, size, got, err);
  }
  if (b->job->store)
    return read_stored(b, offset, buffer, size, got, err);
  int32_t rc = b->relay ? IMGSTORE_OK : make_relay(b);
  return rc ? rc : read_relayed(b, offset, buffer, size, got, err);
}

int32_t publish_advance_read(publish_blob *b, int64_t now) {
  int next;
  int32_t rc = b->relay ? ims_relay_advance(b->relay, &next, &b->job->op.err) : IMGSTORE_OK;
  return rc ? rc : tell(b, now);
}

int32_t publish_advance_blobs(publish *p, int64_t now) {
  for (size_t i = p->blobs_done; i < p->blob_count; i++) {
    publish_blob *b = p->blobs[i];
    if (b->state == PUBLISH_DONE)
      continue;
    if (b->state == PUBLISH_NEW && p->blobs_busy >= MAX_BUSY)
      break;
    int32_t rc = advance(b, now);
    if (rc)
      return rc;
  }
  while (p->blobs_done < p->blob_count && p->blobs[p->blobs_done]->state == PUBLISH_DONE)
    p->blobs_done++;
  return p->blobs_done == p->blob_count ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}
