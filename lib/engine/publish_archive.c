/*
 * engine/publish_archive.c (L4) - an archive as the destination: the documents, then every manifest and blob as a
 * member of a tar, one after the other. Sizes are known from the manifests, so the bytes of a blob go from the source
 * straight into the tar; they are hashed on the way, and nothing appears under the archive's name unless all are right.
 */
#include <string.h>

#include "engine/archive_output.h"
#include "engine/publish.h"
#include "oci/mediatype.h"
#include "store/digest_set.h"
#include "tar/writer.h"

enum { MAX_MEMBERS = 65536, MAX_DOCUMENT = 16 << 20, STEP_BUDGET = 1 << 20 /* bytes that one step makes */ };

/* Where in a member the job is. */
enum { AT_HEADER, AT_CONTENT, AT_PADDING };

/* One member: a folder when it is none of the three. */
typedef struct archive_member {
  char *path;
  char *text;         /* a document, or */
  publish_node *node; /* a manifest, or */
  publish_blob *blob;
  uint64_t size;
} archive_member;

struct publish_archive {
  publish *job;
  ims_task task; /* wakes the driving thread, which does the work */
  char *path;
  bool docker, plain;
  ims_output output;
  bool started;
  archive_member *members;
  size_t count, capacity, current;
  ims_digest_set seen;
  size_t images; /* in manifest.json so far */
  ims_buf staged;
  size_t staged_at;
  int at;
  uint64_t done; /* bytes of the member's content */
  ims_hash hash; /* of a blob that comes from a store */
};

static const ims_alloc *alloc_of(const publish_archive *a) {
  return &a->job->op.core->alloc;
}

static ims_error *error_of(publish_archive *a) {
  return &a->job->op.err;
}

/* --- members --------------------------------------------------------------------------------------------------------
 */

/* Takes over text. */
static int32_t add_member(publish_archive *a, const char *path, char *text, uint64_t size, archive_member **member) {
  int32_t rc = IMGSTORE_OK;
  if (a->count >= MAX_MEMBERS)
    rc = ims_fail(error_of(a), IMGSTORE_ELIMIT, "%s: more than %d members", a->path, MAX_MEMBERS);
  if (!rc && a->count == a->capacity) {
    size_t capacity = a->capacity ? a->capacity * 2 : 16;
    archive_member *grown = ims_realloc_array(alloc_of(a), a->members, capacity, sizeof *grown);
    if (grown) {
      a->members = grown;
      a->capacity = capacity;
    } else {
      rc = ims_fail_nomem(error_of(a));
    }
  }
  char *own = rc ? NULL : ims_strdup(alloc_of(a), path);
  if (!own) {
    ims_free(alloc_of(a), text);
    return rc ? rc : ims_fail_nomem(error_of(a));
  }
  *member = &a->members[a->count++];
  **member = (archive_member){.path = own, .text = text, .size = size};
  return IMGSTORE_OK;
}

static int32_t add_text(publish_archive *a, const char *path, ims_buf *text) {
  archive_member *m;
  size_t size = text->size;
  if (text->failed == IMGSTORE_ELIMIT)
    return ims_fail(error_of(a), IMGSTORE_ELIMIT, "%s: %s becomes too large", a->path, path);
  char *data = text->failed ? NULL : ims_buf_detach(text, &size);
  return data ? add_member(a, path, data, size, &m) : ims_fail_nomem(error_of(a));
}

static int32_t add_folder(publish_archive *a, const char *path) {
  archive_member *m;
  return add_member(a, path, NULL, 0, &m);
}

/* *member NULL: there is a member of that digest already. */
static int32_t add_content(publish_archive *a, const ims_digest *digest, uint64_t size, archive_member **member) {
  char path[IMS_DIGEST_TEXT + 8];
  *member = NULL;
  if (ims_digest_set_find(&a->seen, digest))
    return IMGSTORE_OK;
  if (!ims_digest_set_add(&a->seen, digest))
    return ims_fail_nomem(error_of(a));
  strcpy(path, "blobs/");
  strcat(path, ims_digest_algorithm_name(digest->algorithm));
  strcat(path, "/");
  strcat(path, ims_digest_hex(digest));
  return add_member(a, path, NULL, size, member);
}

static publish_blob *find_blob(const publish *p, const ims_digest *digest) {
  for (size_t i = 0; i < p->blob_count; i++)
    if (ims_digest_equal(&p->blobs[i]->digest, digest))
      return p->blobs[i];
  return NULL;
}

static int32_t add_blob(publish_archive *a, const imgstore_descriptor *d) {
  publish_blob *b = find_blob(a->job, &d->digest);
  archive_member *m;
  if (!b) /* left out: it is to be fetched from elsewhere */
    return a->docker
               ? ims_fail(error_of(a), IMGSTORE_ENOTFOUND, "%s: layer %s is not at the source", a->path, d->digest.text)
               : IMGSTORE_OK;
  int32_t rc = add_content(a, &d->digest, b->size, &m);
  if (!rc && m)
    m->blob = b;
  return rc;
}

/* A manifest before what it lists. Indexes are nested no deeper than the limit says, which the graph has checked. */
static int32_t add_node(publish_archive *a, publish_node *n) {
  const imgstore_manifest *list = n->manifest;
  archive_member *m;
  int32_t rc = add_content(a, &n->digest, list->size, &m);
  if (rc || !m)
    return rc;
  m->node = n;
  for (size_t i = 0; !rc && i < n->child_count; i++)
    rc = add_node(a, n->children[i]);
  if (list->kind == IMGSTORE_MANIFEST_INDEX)
    return rc;
  if (!rc && list->config)
    rc = add_blob(a, list->config);
  for (size_t i = 0; !rc && i < list->count; i++)
    rc = add_blob(a, &list->entries[i]);
  return rc;
}

/* --- documents ------------------------------------------------------------------------------------------------------
 */

static void put_text(ims_buf *out, const char *text) {
  ims_json_put_string(out, text, strlen(text));
}

/* The name as archives have it: with a tag, without a digest; NULL when it is no such name. */
static const char *tagged_name(const publish_archive *a) {
  const char *name = a->job->destination;
  const char *slash = strrchr(name, '/');
  if (strchr(name, '@') || (!a->plain && !strchr(slash ? slash : name, ':')))
    return NULL;
  return name;
}

static int32_t add_index(publish_archive *a) {
  const publish_node *root = a->job->root;
  const char *name = tagged_name(a);
  ims_buf out;
  ims_buf_init(&out, alloc_of(a), MAX_DOCUMENT);
  ims_buf_puts(&out, "{\"schemaVersion\":2,\"mediaType\":\"" IMS_MT_OCI_INDEX "\",\"manifests\":[{\"mediaType\":");
  put_text(&out, root->manifest->media_type);
  ims_buf_printf(&out, ",\"digest\":\"%s\",\"size\":%llu", root->digest.text, (unsigned long long)root->manifest->size);
  if (name) {
    ims_buf_puts(&out, ",\"annotations\":{");
    if (!a->plain) {
      ims_buf_puts(&out, "\"io.containerd.image.name\":");
      put_text(&out, name);
      ims_buf_putc(&out, ',');
    }
    ims_buf_puts(&out, "\"org.opencontainers.image.ref.name\":");
    put_text(&out, a->plain ? name : strrchr(name, ':') + 1);
    ims_buf_putc(&out, '}');
  }
  ims_buf_puts(&out, "}]}");
  int32_t rc = add_text(a, "index.json", &out);
  ims_buf_free(&out);
  return rc;
}

/* Of the images of an index, the one for the job's platform has the name. */
static const publish_node *named_node(const publish *p) {
  const publish_node *n = p->root;
  while (n->manifest->kind == IMGSTORE_MANIFEST_INDEX && n->child_count) {
    const imgstore_descriptor *d = ims_manifest_choose(n->manifest, &p->platform);
    const publish_node *next = n->children[0];
    for (size_t i = 0; d && i < n->child_count; i++)
      if (ims_digest_equal(&n->children[i]->digest, &d->digest))
        next = n->children[i];
    n = next;
  }
  return n;
}

static void put_path(ims_buf *out, const ims_digest *digest) {
  ims_buf_printf(out, "\"blobs/%s/%s\"", ims_digest_algorithm_name(digest->algorithm), ims_digest_hex(digest));
}

static void put_image(publish_archive *a, const publish_node *n, const char *name, ims_buf *out) {
  const imgstore_manifest *m = n->manifest;
  ims_buf_puts(out, a->images++ ? ",{\"Config\":" : "{\"Config\":");
  put_path(out, &m->config->digest);
  ims_buf_puts(out, ",\"RepoTags\":[");
  if (name)
    put_text(out, name);
  ims_buf_puts(out, "],\"Layers\":[");
  for (size_t i = 0; i < m->count; i++) {
    if (i)
      ims_buf_putc(out, ',');
    put_path(out, &m->entries[i].digest);
  }
  ims_buf_puts(out, "]}");
}

static int32_t add_manifest(publish_archive *a, size_t from, size_t to) {
  const publish_node *named = named_node(a->job);
  ims_buf out;
  if (a->job->root->manifest->kind == IMGSTORE_MANIFEST_ARTIFACT)
    return ims_fail(error_of(a), IMGSTORE_EUNSUPPORTED, "%s: an artifact has no place in a docker-archive",
                    a->job->name);
  ims_buf_init(&out, alloc_of(a), MAX_DOCUMENT);
  ims_buf_putc(&out, '[');
  for (size_t i = from; i < to; i++) {
    const publish_node *n = a->members[i].node;
    if (n && n->manifest->kind == IMGSTORE_MANIFEST_IMAGE)
      put_image(a, n, n == named ? tagged_name(a) : NULL, &out);
  }
  ims_buf_puts(&out, "]\n");
  int32_t rc = add_text(a, "manifest.json", &out);
  ims_buf_free(&out);
  return rc;
}

static int32_t add_layout(publish_archive *a) {
  ims_buf out;
  ims_buf_init(&out, alloc_of(a), MAX_DOCUMENT);
  ims_buf_puts(&out, "{\"imageLayoutVersion\":\"1.0.0\"}");
  int32_t rc = add_text(a, "oci-layout", &out);
  ims_buf_free(&out);
  return rc;
}

static int32_t add_folders(publish_archive *a) {
  bool used[IMS_HASH_SHA512 + 1] = {false};
  for (size_t i = 0; i < a->seen.count; i++)
    used[a->seen.items[i].algorithm] = true;
  int32_t rc = add_folder(a, "blobs");
  if (!rc && used[IMS_HASH_SHA256])
    rc = add_folder(a, "blobs/sha256");
  if (!rc && used[IMS_HASH_SHA512])
    rc = add_folder(a, "blobs/sha512");
  return rc;
}

/* The documents were added last: they go to the front. */
static int32_t move_to_front(publish_archive *a, size_t from) {
  archive_member *all = ims_calloc(alloc_of(a), a->capacity, sizeof *all);
  if (!all)
    return ims_fail_nomem(error_of(a));
  memcpy(all, a->members + from, (a->count - from) * sizeof *all);
  memcpy(all + (a->count - from), a->members, from * sizeof *all);
  ims_free(alloc_of(a), a->members);
  a->members = all;
  return IMGSTORE_OK;
}

static int32_t make_members(publish_archive *a) {
  int32_t rc = add_node(a, a->job->root);
  size_t content = a->count;
  if (!rc)
    rc = add_layout(a);
  if (!rc)
    rc = add_index(a);
  if (!rc && a->docker)
    rc = add_manifest(a, 0, content);
  if (!rc)
    rc = add_folders(a);
  return rc ? rc : move_to_front(a, content);
}

/* --- content --------------------------------------------------------------------------------------------------------
 */

static int32_t stage_header(publish_archive *a, const archive_member *m) {
  const bool folder = !m->text && !m->node && !m->blob;
  ims_tar_entry entry;
  memset(&entry, 0, sizeof entry);
  entry.type = folder ? IMS_TAR_DIRECTORY : IMS_TAR_REGULAR;
  entry.path = m->path;
  entry.linkpath = "";
  entry.mode = folder ? 0755 : 0644;
  entry.size = entry.data_size = m->size;
  a->at = AT_CONTENT;
  a->done = 0;
  if (m->blob)
    ims_hash_init(&a->hash, m->blob->digest.algorithm);
  return ims_tar_put_entry(&a->staged, &entry, error_of(a));
}

/* A relay says itself whether its bytes were right, before it gives the last. */
static int32_t check_content(publish_archive *a, const archive_member *m) {
  ims_digest have;
  if (!m->blob || m->blob->relay)
    return IMGSTORE_OK;
  ims_digest_from_hash(&have, &a->hash);
  if (ims_digest_equal(&have, &m->blob->digest))
    return IMGSTORE_OK;
  return ims_fail(error_of(a), a->job->store ? IMGSTORE_ECORRUPT : IMGSTORE_EDIGEST,
                  "blob %s: its content hashes to %s", m->blob->digest.text, have.text);
}

static int32_t end_content(publish_archive *a, const archive_member *m) {
  publish *p = a->job;
  int32_t rc = check_content(a, m);
  a->at = AT_PADDING;
  if (rc || (!m->blob && !m->node))
    return rc;
  if (m->node)
    return publish_report(p, IMGSTORE_REPORT_SENT, "", m->node->digest.text, m->node->manifest->media_type, m->size);
  publish_end_blob(m->blob);
  m->blob->state = PUBLISH_DONE;
  rc = publish_report(p, IMGSTORE_REPORT_SENT, NULL, m->blob->digest.text, m->blob->media_type, m->size);
  return rc ? rc
            : ims_operation_event(&p->op, IMGSTORE_EVENT_UPLOADED, m->blob->object, m->blob->digest.text, NULL, m->size,
                                  m->size);
}

/* *got 0: there is nothing yet. */
static int32_t read_content(publish_archive *a, const archive_member *m, uint8_t *space, size_t room, size_t *got) {
  *got = room;
  if (m->blob) {
    int32_t rc = publish_read_blob(m->blob, a->done, space, room, got, error_of(a));
    if (!rc && !m->blob->relay)
      ims_hash_update(&a->hash, space, *got);
    return rc;
  }
  memcpy(space, (m->text ? m->text : m->node->manifest->data) + a->done, room);
  return IMGSTORE_OK;
}

static int32_t copy_content(publish_archive *a, const archive_member *m, size_t *moved) {
  uint8_t *space;
  size_t room = ims_ring_space(&a->output.ring, &space);
  *moved = 0;
  if (a->done == m->size)
    return end_content(a, m);
  if (room > m->size - a->done)
    room = (size_t)(m->size - a->done);
  if (!room)
    return IMGSTORE_EAGAIN;
  int32_t rc = read_content(a, m, space, room, moved);
  if (rc)
    return rc;
  ims_ring_commit(&a->output.ring, *moved);
  a->done += *moved;
  return *moved ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

static int32_t stage_padding(publish_archive *a, const archive_member *m) {
  static const char zeros[512];
  a->at = AT_HEADER;
  a->current++;
  int32_t rc = ims_buf_append(&a->staged, zeros, ims_tar_padding(m->size));
  if (!rc && a->current == a->count)
    rc = ims_tar_put_end(&a->staged);
  return rc ? ims_fail_nomem(error_of(a)) : IMGSTORE_OK;
}

/* --- the driver -----------------------------------------------------------------------------------------------------
 */

static void run_task(ims_task *task) {
  publish_archive *a = (publish_archive *)((char *)task - offsetof(publish_archive, task));
  ims_lane_signal(&a->job->op.lane);
}

/* Makes bytes of the tar as long as there are some and there is room. */
static int32_t produce(publish_archive *a) {
  size_t work = 0, moved = 0;
  int32_t rc = IMGSTORE_OK;
  while (!rc && work < STEP_BUDGET && ims_output_flush(&a->output, &a->staged, &a->staged_at)) {
    const archive_member *m = &a->members[a->current];
    if (a->current == a->count) {
      ims_ring_close(&a->output.ring);
      break;
    }
    moved = 0;
    rc = a->at == AT_HEADER    ? stage_header(a, m)
         : a->at == AT_CONTENT ? copy_content(a, m, &moved)
                               : stage_padding(a, m);
    work += moved ? moved : 512;
  }
  ims_output_fed(&a->output);
  if (work >= STEP_BUDGET)
    ims_lane_signal(&a->job->op.lane);
  return rc == IMGSTORE_EAGAIN ? IMGSTORE_OK : rc;
}

static int32_t start(publish_archive *a) {
  const ims_output_target target = {a->path, -1, NULL, NULL, IMS_ENCODE_NONE};
  publish *p = a->job;
  a->started = true;
  p->blobs_busy = 1; /* progress is told */
  int32_t rc = make_members(a);
  return rc ? rc : ims_output_open(&a->output, &p->op, &target, &a->task, &p->op.err);
}

int32_t publish_advance_archive(publish_archive *a, int64_t now) {
  int32_t rc = a->started ? IMGSTORE_OK : start(a);
  const archive_member *m = !rc && a->current < a->count ? &a->members[a->current] : NULL;
  if (m && m->blob)
    rc = publish_advance_read(m->blob, now);
  if (!rc && !atomic_load(&a->output.ring.closed))
    rc = produce(a);
  return rc ? rc : ims_output_advance(&a->output);
}

int32_t publish_archive_timeout(const publish_archive *a) {
  return ims_output_timeout(&a->output);
}

void publish_end_archive(publish_archive *a) {
  if (a)
    ims_output_end(&a->output);
}

int32_t publish_set_archive(publish *p, const char *path, int32_t format, bool plain) {
  const ims_alloc *alloc = &p->op.core->alloc;
  publish_archive *a = p->archive = ims_calloc(alloc, 1, sizeof *a);
  if (!a)
    return ims_fail_nomem(&p->op.err);
  a->job = p;
  a->docker = format != IMGSTORE_ARCHIVE_OCI;
  a->plain = plain;
  ims_digest_set_init(&a->seen, alloc);
  ims_buf_init(&a->staged, alloc, 1 << 20);
  ims_task_init(&a->task, &p->op.lane, p->op.core->pool, run_task);
  a->path = ims_strdup(alloc, path);
  return a->path ? IMGSTORE_OK : ims_fail_nomem(&p->op.err);
}

void publish_free_archive(publish_archive *a) {
  if (!a)
    return;
  const ims_alloc *alloc = alloc_of(a);
  for (size_t i = 0; i < a->count; i++) {
    ims_free(alloc, a->members[i].path);
    ims_free(alloc, a->members[i].text);
  }
  ims_free(alloc, a->members);
  ims_free(alloc, a->path);
  ims_digest_set_free(&a->seen);
  ims_buf_free(&a->staged);
  ims_free(alloc, a);
}
