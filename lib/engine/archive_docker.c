/*
 * engine/archive_docker.c (L4) - manifest.json of an archive that is read where it is.
 *
 * An image is the one of the layout beside it that has its config and layers, so that digests survive. Without a layout
 * a manifest is composed. Its layers are plain tars, whose digests are the diffIDs of the config; one that is
 * compressed, and whose path does not say its digest, is read once to find that.
 */
#include <errno.h>
#include <string.h>

#include "engine/archive_naming.h"
#include "engine/archive_path.h"
#include "oci/arena.h"
#include "oci/compose.h"
#include "oci/mediatype.h"

enum {
  MAX_MANIFEST = 64 << 20,
  PIECE = 64 << 10,     /* of a layer that is hashed */
  STEP_BUDGET = 4 << 20 /* bytes of it that one step reads */
};

static const ims_alloc *alloc_of(const ims_archive_naming *n) {
  return &n->archive->index.core->alloc;
}

static const imgstore_context_options *limits_of(const ims_archive_naming *n) {
  return &n->archive->index.core->limits;
}

static int32_t read_image(const ims_archive_naming *n, const ims_json_value *object, ims_docker_image *i) {
  const ims_memory memory = {alloc_of(n), &i->arena};
  if (ims_json_type(object) != IMS_JSON_OBJECT)
    return ims_fail(n->err, IMGSTORE_EFORMAT, "is no object");
  int32_t rc = ims_member_text(object, "Config", &i->config_path, n->err);
  if (!rc && !i->config_path)
    rc = ims_fail(n->err, IMGSTORE_EFORMAT, "Config is missing");
  if (!rc)
    rc = ims_member_strings(object, "RepoTags", memory, &i->tags, &i->tag_count, n->err);
  if (!rc)
    rc = ims_member_strings(object, "Layers", memory, &i->layers, &i->layer_count, n->err);
  if (!rc && i->layer_count > limits_of(n)->max_layers)
    rc = ims_fail(n->err, IMGSTORE_ELIMIT, "more than %llu layers", (unsigned long long)limits_of(n)->max_layers);
  return rc;
}

static int32_t find_file(const ims_archive_naming *n, const char *named, ims_archive_member **m) {
  char *path = ims_malloc(alloc_of(n), strlen(named) + 1);
  int32_t rc = path ? ims_archive_clean_path(named, path, n->err) : ims_fail_nomem(n->err);
  *m = rc ? NULL : ims_archive_index_find(&n->archive->index, path);
  ims_free(alloc_of(n), path);
  if (rc || (*m && (*m)->kind == IMS_ARCHIVE_FILE))
    return rc;
  return ims_fail(n->err, IMGSTORE_EFORMAT, *m ? "\"%.256s\" is no blob" : "\"%.256s\" is not in the archive", named);
}

static int32_t load_config(const ims_archive_naming *n, ims_docker_image *i) {
  ims_archive_member *m;
  uint64_t limit = limits_of(n)->max_config_bytes;
  ims_buf bytes;
  int32_t rc = find_file(n, i->config_path, &m);
  if (rc)
    return ims_error_prefix(n->err, "Config");
  if (m->size > limit)
    return ims_fail(n->err, IMGSTORE_ELIMIT, "config \"%.256s\": has %llu bytes, at most %llu are read", i->config_path,
                    (unsigned long long)m->size, (unsigned long long)limit);
  const ims_archive_blob blob = {m, NULL, m->size};
  ims_buf_init(&bytes, alloc_of(n), SIZE_MAX - 1);
  rc = ims_naming_read(n, &blob, &bytes);
  if (!rc) {
    if (!ims_archive_path_digest(m->path, &i->config_digest))
      i->config_digest.algorithm = IMS_HASH_SHA256;
    ims_digest_of(&i->config_digest, i->config_digest.algorithm, ims_buf_text(&bytes), bytes.size);
    i->config_size = bytes.size;
    rc = ims_config_parse(&i->config, alloc_of(n), ims_buf_text(&bytes), bytes.size, &i->config_digest, i->layer_count,
                          n->err);
  }
  ims_buf_free(&bytes);
  return rc ? rc : ims_archive_store_add(n->archive, &i->config_digest, m, NULL, m->size, n->err);
}

static int32_t begin_hashing(ims_layer_hashing *h, const ims_core *core, int32_t algorithm, ims_error *err) {
  if (!h->ready) {
    int32_t rc = ims_archive_content_init(&h->content, core, err);
    if (rc)
      return rc;
    h->ready = true;
    h->piece = ims_malloc(&core->alloc, PIECE);
    if (!h->piece)
      return ims_fail_nomem(err);
  }
  h->running = true;
  h->done = 0;
  ims_hash_init(&h->hash, IMS_HASH_SHA256);
  ims_archive_content_begin(&h->content, algorithm);
  return IMGSTORE_OK;
}

static int32_t hash_piece(const ims_archive_naming *n, ims_layer_hashing *h, const ims_archive_member *m) {
  size_t got;
  int failed = ims_archive_index_read(&n->archive->index, m, h->done, h->piece, PIECE, &got);
  if (failed || !got)
    return ims_fail_os(n->err, failed ? failed : EIO, "cannot read");
  h->done += got;
  ims_hash_update(&h->hash, h->piece, got);
  return ims_archive_content_update(&h->content, h->piece, got, n->err);
}

/* Reads some of a member; IMGSTORE_OK: its digests are known. */
static int32_t hash_member(ims_archive_naming *n, ims_archive_member *m, int32_t algorithm) {
  ims_layer_hashing *h = &n->hashing;
  int32_t rc = h->running ? IMGSTORE_OK : begin_hashing(h, n->archive->index.core, algorithm, n->err);
  for (size_t work = 0; !rc && h->done < m->size; work += PIECE)
    rc = work < STEP_BUDGET ? hash_piece(n, h, m) : IMGSTORE_EAGAIN;
  if (rc == IMGSTORE_EAGAIN)
    return rc;
  h->running = false;
  if (!rc)
    rc = ims_archive_content_finish(&h->content, &m->diff_id, n->err);
  if (rc)
    return ims_error_prefix(n->err, "member \"%.256s\"", m->path);
  ims_digest_from_hash(&m->digest, &h->hash);
  return IMGSTORE_OK;
}

/* Nothing says the digest of a compressed layer, and only its content can say that it is the one of the config. */
static int32_t find_digest(ims_archive_naming *n, const ims_docker_image *i, size_t k, ims_archive_member *m,
                           ims_digest *digest) {
  const ims_digest *expected = &i->config->diff_ids[k];
  int32_t rc = m->diff_id.algorithm ? IMGSTORE_OK : hash_member(n, m, expected->algorithm);
  if (rc)
    return rc;
  *digest = m->digest;
  if (ims_digest_equal(&m->diff_id, expected))
    return IMGSTORE_OK;
  return ims_fail(n->err, IMGSTORE_EDIGEST, "layer \"%.256s\": its content hashes to %s, the config says %s",
                  i->layers[k].value, m->diff_id.text, expected->text);
}

static int32_t sniff(const ims_archive_naming *n, ims_archive_member *m) {
  uint8_t head[IMS_CONTENT_HEAD];
  size_t got;
  int failed = ims_archive_index_read(&n->archive->index, m, 0, head, sizeof head, &got);
  if (failed)
    return ims_fail_os(n->err, failed, "member \"%.256s\": cannot read", m->path);
  m->format = ims_format_sniff(head, got);
  return IMGSTORE_OK;
}

/* A layer below blobs/ has the digest of its path, a plain tar its diffID. */
static int32_t describe_layer(ims_archive_naming *n, ims_docker_image *i, size_t k) {
  static const char *const types[] = {[IMS_FORMAT_NONE] = "application/vnd.oci.image.layer.v1.tar",
                                      [IMS_FORMAT_GZIP] = "application/vnd.oci.image.layer.v1.tar+gzip",
                                      [IMS_FORMAT_ZSTD] = "application/vnd.oci.image.layer.v1.tar+zstd"};
  ims_archive_member *m;
  imgstore_descriptor *d = &i->descriptors[k];
  const ims_digest *expected = &i->config->diff_ids[k];
  int32_t rc = find_file(n, i->layers[k].value, &m);
  if (rc)
    return ims_error_prefix(n->err, "Layers[%zu]", k);
  rc = sniff(n, m);
  if (rc)
    return rc;
  if (!ims_archive_path_digest(m->path, &d->digest)) {
    d->digest = *expected;
    rc = m->format == IMS_FORMAT_NONE ? IMGSTORE_OK : find_digest(n, i, k, m, &d->digest);
  } else if (m->format == IMS_FORMAT_NONE && d->digest.algorithm == expected->algorithm &&
             !ims_digest_equal(&d->digest, expected)) {
    rc = ims_fail(n->err, IMGSTORE_EDIGEST, "layer \"%.256s\": the config says that it is %s", i->layers[k].value,
                  expected->text);
  }
  d->size = m->size;
  d->media_type = types[m->format];
  i->members[k] = m;
  return rc;
}

/* The image of the layout that has this config and these layers, or NULL. */
static const imgstore_manifest *in_layout(const ims_archive_naming *n, const ims_docker_image *i) {
  for (size_t k = 0; k < n->layout_count; k++) {
    const imgstore_manifest *m = n->layout[k];
    bool same = m->config && ims_digest_equal(&m->config->digest, &i->config_digest) && m->count == i->layer_count;
    for (size_t l = 0; same && l < m->count; l++)
      same = ims_digest_equal(&m->entries[l].digest, &i->descriptors[l].digest);
    if (same)
      return m;
  }
  return NULL;
}

/* Two members that say that they are the same layer must have one size. */
static int32_t add_layers(const ims_archive_naming *n, const ims_docker_image *i) {
  int32_t rc = IMGSTORE_OK;
  for (size_t k = 0; !rc && k < i->layer_count; k++) {
    rc = ims_archive_store_add(n->archive, &i->descriptors[k].digest, i->members[k], NULL, i->members[k]->size, n->err);
    if (!rc && ims_archive_store_blob(n->archive, &i->descriptors[k].digest)->size != i->members[k]->size)
      rc = ims_fail(n->err, IMGSTORE_EDIGEST, "layer \"%.256s\": another member of another size is %s",
                    i->layers[k].value, i->descriptors[k].digest.text);
  }
  return rc;
}

static int32_t compose(const ims_archive_naming *n, const ims_docker_image *i, ims_digest *digest, uint64_t *size) {
  imgstore_descriptor config;
  ims_manifest_parts parts;
  ims_buf text;
  memset(&config, 0, sizeof config);
  memset(&parts, 0, sizeof parts);
  config.digest = i->config_digest;
  config.size = i->config_size;
  config.media_type = IMS_MT_OCI_CONFIG;
  parts.family = IMS_FAMILY_OCI;
  parts.config = &config;
  parts.layers = i->descriptors;
  parts.layer_count = i->layer_count;
  ims_buf_init(&text, alloc_of(n), MAX_MANIFEST);
  int32_t rc = ims_compose_manifest(&text, &parts, n->err);
  if (!rc) {
    ims_digest_of(digest, IMS_HASH_SHA256, ims_buf_text(&text), text.size);
    size_t length = text.size;
    char *own = ims_buf_detach(&text, &length);
    *size = length;
    rc = own ? ims_archive_store_add(n->archive, digest, NULL, own, length, n->err) : ims_fail_nomem(n->err);
  }
  ims_buf_free(&text);
  return rc;
}

static int32_t add_tags(const ims_archive_naming *n, const ims_docker_image *i, const ims_digest *digest, uint64_t size,
                        const char *media_type) {
  int32_t rc = i->tag_count ? IMGSTORE_OK : ims_naming_add(n, "", digest, size, media_type);
  for (size_t k = 0; !rc && k < i->tag_count; k++)
    rc = i->tags[k].value[0] ? ims_naming_add(n, i->tags[k].value, digest, size, media_type)
                             : ims_fail(n->err, IMGSTORE_EFORMAT, "RepoTags[%zu] is empty", k);
  return rc;
}

/* All of its layers have descriptors. */
static int32_t add_image(const ims_archive_naming *n, const ims_docker_image *i) {
  ims_digest digest;
  uint64_t size;
  const imgstore_manifest *known = in_layout(n, i);
  if (!known && !n->compose)
    return ims_fail(n->err, IMGSTORE_EFORMAT, "index.json has no image of this config and layers");
  if (known)
    return n->give ? add_tags(n, i, &known->digest, known->size, known->media_type) : IMGSTORE_OK;
  int32_t rc = add_layers(n, i);
  if (!rc)
    rc = compose(n, i, &digest, &size);
  return rc ? rc : add_tags(n, i, &digest, size, IMS_MT_OCI_MANIFEST);
}

/* --- image after image ----------------------------------------------------------------------------------------------
 */

int32_t ims_naming_docker_begin(ims_archive_naming *n) {
  const ims_archive_member *m;
  int32_t rc = ims_naming_document(n, "manifest.json", &m);
  if (!rc)
    rc = ims_json_parse(&n->json, alloc_of(n), m->text, (size_t)m->size, "manifest.json", n->err);
  if (rc)
    return rc;
  const ims_json_value *root = ims_json_root(n->json);
  if (ims_json_type(root) != IMS_JSON_ARRAY)
    return ims_fail(n->err, IMGSTORE_EFORMAT, "manifest.json: is no array");
  n->next = ims_json_first(root);
  return IMGSTORE_EAGAIN;
}

static int32_t begin_image(ims_archive_naming *n) {
  if (n->number >= IMS_NAMING_IMAGES)
    return ims_fail(n->err, IMGSTORE_ELIMIT, "more than %d images", IMS_NAMING_IMAGES);
  ims_docker_image *i = n->image = ims_calloc(alloc_of(n), 1, sizeof *i);
  if (!i)
    return ims_fail_nomem(n->err);
  int32_t rc = read_image(n, n->next, i);
  if (!rc)
    rc = load_config(n, i);
  if (rc)
    return rc;
  i->descriptors = ims_arena_take(&i->arena, alloc_of(n), i->layer_count, sizeof *i->descriptors);
  i->members = ims_arena_take(&i->arena, alloc_of(n), i->layer_count, sizeof *i->members);
  return i->descriptors && i->members ? IMGSTORE_OK : ims_fail_nomem(n->err);
}

static void free_image(ims_archive_naming *n) {
  ims_docker_image *i = n->image;
  if (!i)
    return;
  ims_config_free(i->config);
  ims_arena_free(&i->arena, alloc_of(n));
  ims_free(alloc_of(n), i);
  n->image = NULL;
}

/* IMGSTORE_EAGAIN: a layer of it is being hashed. */
static int32_t run_image(ims_archive_naming *n) {
  int32_t rc = n->image ? IMGSTORE_OK : begin_image(n);
  ims_docker_image *i = n->image;
  while (!rc && i->described < i->layer_count) {
    rc = describe_layer(n, i, i->described);
    i->described += !rc;
  }
  return rc ? rc : add_image(n, i);
}

int32_t ims_naming_docker_step(ims_archive_naming *n) {
  if (!n->next)
    return IMGSTORE_OK;
  int32_t rc = run_image(n);
  if (rc == IMGSTORE_EAGAIN)
    return rc;
  if (rc)
    return rc == IMGSTORE_ENOMEM ? rc : ims_error_prefix(n->err, "manifest.json: image %zu", n->number);
  free_image(n);
  n->next = ims_json_next(n->next);
  n->number++;
  return IMGSTORE_EAGAIN;
}

void ims_naming_docker_free(ims_archive_naming *n) {
  free_image(n);
  ims_json_free(n->json);
  ims_archive_content_free(&n->hashing.content);
  ims_free(alloc_of(n), n->hashing.piece);
}
