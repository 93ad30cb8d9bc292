/*
 * engine/referrer_tag.c (L4) - read, add, write, and read again: a registry has no compare-and-set, so another writer
 * that read before and writes after us drops our entry. Whoever looks again finds that out; when others were seen at
 * work we look several times, with pauses that differ from theirs.
 */
#include "engine/referrer_tag.h"

#include <stdio.h>
#include <string.h>

#include "oci/compose.h"
#include "oci/mediatype.h"

enum {
  WRITES_MAX = 20,
  LOOKS = 3,           /* that find the entry after a write, when nobody else was seen */
  LOOKS_CONTENDED = 6, /* when others write too */
  PAUSE_MS = 150       /* between looks, half as much again at random */
};

static const ims_alloc *alloc_of(const ims_referrer_tag *t) {
  return &t->op->core->alloc;
}

void ims_referrer_tag_init(ims_referrer_tag *t, imgstore_operation *op, ims_client *client, const char *repository,
                           const ims_digest *subject, const imgstore_descriptor *entry) {
  t->op = op;
  t->client = client;
  t->repository = repository;
  t->entry = entry;
  t->seed = (uint64_t)ims_wall_ns() ^ (uint64_t)(uintptr_t)t;
  snprintf(t->tag, sizeof t->tag, "%s-%.128s", ims_digest_algorithm_name(subject->algorithm), ims_digest_hex(subject));
  t->tag[128] = '\0'; /* a tag has no more: the specification cuts it off */
  ims_buf_init(&t->index, alloc_of(t), (size_t)op->core->limits.max_manifest_bytes);
}

static void fail(ims_referrer_tag *t, int32_t code, const ims_error *err) {
  if (t->failed || !code)
    return;
  t->failed = code;
  if (err && !t->op->err.code)
    t->op->err = *err;
}

static void arrived(ims_referrer_tag *t) {
  t->fetch = NULL;
  t->busy = false;
  ims_lane_signal(&t->op->lane);
}

static void pause_before_look(ims_referrer_tag *t) {
  t->seed = t->seed * 6364136223846793005u + 1442695040888963407u;
  t->due = ims_now_ms() + PAUSE_MS + (int64_t)((t->seed >> 33) % (PAUSE_MS / 2));
}

/* --- writing --------------------------------------------------------------------------------------------------------
 */

static void on_written(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  ims_referrer_tag *t = data;
  arrived(t);
  if (code) {
    fail(t, code, err);
    return;
  }
  t->last = t->put.digest;
  t->quiet = 0;
}

static int32_t write_index(ims_referrer_tag *t) {
  if (++t->writes > WRITES_MAX)
    return ims_fail(&t->op->err, IMGSTORE_ECONFLICT, "%s:%s: other writers do not let the list of referrers settle",
                    t->repository, t->tag);
  t->put = (ims_manifest_push){t->repository, t->tag, IMS_MT_OCI_INDEX, t->index.data, t->index.size, {0, ""}};
  ims_digest_of(&t->put.digest, IMS_HASH_SHA256, t->index.data, t->index.size);
  int32_t rc = ims_push_manifest(t->client, &t->put, on_written, t, &t->fetch, &t->op->err);
  t->busy = !rc;
  return rc;
}

/* Every entry that is there stays as it is, with members that we do not know. */
static int32_t copy_entries(ims_referrer_tag *t, const imgstore_manifest *old, ims_buf *texts,
                            ims_index_entry *entries) {
  const ims_json_value *v = old ? ims_json_first(ims_json_get(ims_json_root(old->json), "manifests")) : NULL;
  for (size_t i = 0; v; v = ims_json_next(v), i++) {
    size_t start = texts->size;
    ims_json_put_value(texts, v);
    entries[i].text_size = texts->size - start;
  }
  if (texts->failed)
    return ims_fail(&t->op->err, texts->failed, "%s:%s: the list of referrers is too long", t->repository, t->tag);
  const char *at = ims_buf_text(texts);
  for (size_t i = 0; old && i < old->count; at += entries[i++].text_size)
    entries[i].text = at;
  return IMGSTORE_OK;
}

static int32_t compose(ims_referrer_tag *t, const imgstore_manifest *old) {
  ims_buf texts;
  size_t count = old ? old->count : 0;
  ims_index_entry *entries = ims_calloc(alloc_of(t), count + 1, sizeof *entries);
  if (!entries)
    return ims_fail_nomem(&t->op->err);
  ims_buf_init(&texts, alloc_of(t), t->index.ceiling);
  ims_buf_clear(&t->index);
  int32_t rc = copy_entries(t, old, &texts, entries);
  entries[count].descriptor = t->entry;
  const ims_index_parts parts = {.artifact_type = old ? old->artifact_type : NULL,
                                 .entries = entries,
                                 .count = count + 1,
                                 .annotations = old ? old->annotations : NULL,
                                 .annotation_count = old ? old->annotation_count : 0};
  if (!rc)
    rc = ims_compose_index(&t->index, &parts, &t->op->err);
  ims_buf_free(&texts);
  ims_free(alloc_of(t), entries);
  return rc;
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

static bool has_entry(const ims_referrer_tag *t, const imgstore_manifest *list) {
  for (size_t i = 0; list && i < list->count; i++)
    if (ims_digest_equal(&list->entries[i].digest, &t->entry->digest))
      return true;
  return false;
}

/* list: NULL when the tag is not there. */
static int32_t look_at(ims_referrer_tag *t, const imgstore_manifest *list) {
  static const ims_digest none;
  const ims_digest *digest = list ? &list->digest : &none;
  if (list && list->kind != IMGSTORE_MANIFEST_INDEX)
    return ims_fail(&t->op->err, IMGSTORE_ECONFLICT, "%s:%s: the tag for referrers names something else", t->repository,
                    t->tag);
  t->contended = t->contended || (t->writes && strcmp(digest->text, t->last.text) != 0);
  t->last = *digest;
  if (has_entry(t, list)) {
    t->quiet++;
    pause_before_look(t);
    return IMGSTORE_OK;
  }
  int32_t rc = compose(t, list);
  return rc ? rc : write_index(t);
}

static void on_read(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  ims_referrer_tag *t = data;
  const imgstore_context_options *own = &t->op->core->limits;
  const ims_manifest_limits limits = {own->max_manifest_bytes, IMS_JSON_MAX_TOKENS};
  imgstore_manifest *list = NULL;
  arrived(t);
  if (code && err->http_status != 404) {
    fail(t, code, err);
    return;
  }
  int32_t rc = code ? IMGSTORE_OK
                    : ims_manifest_parse(&list, alloc_of(t), d->data, d->size, d->media_type, NULL, &limits, t->tag,
                                         &t->op->err);
  if (!rc)
    rc = look_at(t, list);
  imgstore_manifest_unref(list);
  fail(t, rc, NULL);
}

/* The registry itself is asked, and under a token that will do for writing as well. */
static int32_t read_list(ims_referrer_tag *t) {
  char path[200];
  snprintf(path, sizeof path, "manifests/%s", t->tag);
  const ims_request request = {.method = "GET",
                               .repository = t->repository,
                               .path = path,
                               .object = t->tag,
                               .accept = ims_media_manifest_accept(),
                               .actions = "pull,push",
                               .most_size = t->op->core->limits.max_manifest_bytes};
  int32_t rc = ims_request_start(t->client, &request, on_read, t, &t->fetch, &t->op->err);
  t->busy = !rc;
  return rc;
}

int32_t ims_referrer_tag_advance(ims_referrer_tag *t, int64_t now) {
  if (t->failed)
    return t->failed;
  if (t->busy)
    return IMGSTORE_EAGAIN;
  /* an entry that was there before we wrote anything needs no second look */
  unsigned enough = !t->writes ? 1 : t->contended ? LOOKS_CONTENDED : LOOKS;
  if (t->quiet >= enough)
    return IMGSTORE_OK;
  if (now < t->due)
    return IMGSTORE_EAGAIN;
  int32_t rc = read_list(t);
  return rc ? rc : IMGSTORE_EAGAIN;
}

int32_t ims_referrer_tag_timeout(const ims_referrer_tag *t, int64_t now) {
  if (!t->op || t->busy || !t->due)
    return -1;
  return t->due > now ? (int32_t)(t->due - now) : 0;
}

void ims_referrer_tag_free(ims_referrer_tag *t) {
  if (t->fetch)
    ims_fetch_cancel(t->fetch);
  if (t->op)
    ims_buf_free(&t->index);
  memset(t, 0, sizeof *t);
}
