/*
 * engine/archive_names.c (L4) - the images of an archive that is read where it is: index.json of an OCI layout,
 * manifest.json of Docker's format.
 *
 * An image of manifest.json is the one of the layout beside it that has its config and layers, so that digests survive.
 * Without a layout a manifest is composed; its layers are plain tars, whose digests are the diffIDs of the config.
 */
#include <string.h>

#include "base/text.h"
#include "compress/decoder.h"
#include "engine/archive_path.h"
#include "engine/archive_store.h"
#include "oci/arena.h"
#include "oci/compose.h"
#include "oci/mediatype.h"
#include "oci/member.h"
#include "oci/reference.h"

enum { MAX_IMAGES = 4096, MAX_MANIFEST = 64 << 20, SNIFF_SIZE = 4 };

typedef struct naming {
  ims_archive_store *archive;
  imgstore_manifest **layout; /* the manifests and indexes that index.json leads to */
  size_t layout_count, layout_capacity;
  ims_digest_set seen;
  bool compose; /* what the layout lacks is composed, not refused */
  bool give;    /* images get the names of manifest.json */
  ims_error *err;
} naming;

static const ims_alloc *alloc_of(const naming *n) {
  return &n->archive->index.core->alloc;
}

static const imgstore_context_options *limits_of(const naming *n) {
  return &n->archive->index.core->limits;
}

static int32_t find_document(const naming *n, const char *path, const ims_indexed_member **m) {
  *m = ims_archive_index_find(&n->archive->index, path);
  if (*m && (*m)->text)
    return IMGSTORE_OK;
  return ims_fail(n->err, IMGSTORE_EFORMAT, *m ? "%s is no file" : "%s is missing", path);
}

/* --- names ----------------------------------------------------------------------------------------------------------
 */

static bool ends_with(const char *text, size_t size, const char *ending) {
  size_t length = strlen(ending);
  return size > length && ims_equal_fold_n(text + size - length, length, ending, length);
}

/* As load does: a tag alone, or none, is completed with what the file is called. */
static void put_name(const naming *n, const char *given, ims_buf *out) {
  const char *path = n->archive->index.path, *slash = strrchr(path, '/');
  const char *base = slash ? slash + 1 : path;
  size_t size = strlen(base);
  if (given[0] && strpbrk(given, "/:")) {
    ims_buf_puts(out, given);
    return;
  }
  if (ends_with(base, size, ".tar"))
    size -= 4;
  for (size_t i = 0; i < size; i++)
    ims_buf_putc(out, ims_ascii_lower(base[i]));
  ims_buf_printf(out, ":%s", given[0] ? given : "latest");
}

/* A name that is no reference stays as it is. */
static char *full_name(const naming *n, const char *given) {
  imgstore_reference *reference = NULL;
  ims_buf text;
  ims_buf_init(&text, alloc_of(n), 4096);
  put_name(n, given, &text);
  char *name = NULL;
  if (text.failed == IMGSTORE_ELIMIT || ims_reference_parse(&reference, alloc_of(n), ims_buf_text(&text), NULL))
    name = ims_strdup(alloc_of(n), given);
  else
    name = ims_strdup(alloc_of(n), reference->name);
  imgstore_reference_unref(reference);
  ims_buf_free(&text);
  return name;
}

static char *descriptor_text(const naming *n, const ims_digest *digest, uint64_t size, const char *media_type) {
  ims_buf out;
  ims_buf_init(&out, alloc_of(n), MAX_MANIFEST);
  ims_buf_puts(&out, "{\"mediaType\":");
  ims_json_put_string(&out, media_type, strlen(media_type));
  ims_buf_printf(&out, ",\"digest\":\"%s\",\"size\":%llu}", digest->text, (unsigned long long)size);
  char *text = out.failed ? NULL : ims_buf_detach(&out, NULL);
  ims_buf_free(&out);
  return text;
}

static int32_t add_name(const naming *n, const char *given, const ims_digest *digest, uint64_t size,
                        const char *media_type) {
  ims_archive_store *a = n->archive;
  const ims_alloc *alloc = alloc_of(n);
  char *name = full_name(n, given);
  if (!name)
    return ims_fail_nomem(n->err);
  for (size_t i = 0; i < a->name_count; i++)
    if (strcmp(a->names[i].name, name) == 0 && ims_digest_equal(&a->names[i].digest, digest)) {
      ims_free(alloc, name);
      return IMGSTORE_OK;
    }
  if (a->name_count == a->name_capacity && a->name_count < MAX_IMAGES) {
    size_t capacity = a->name_capacity ? a->name_capacity * 2 : 8;
    ims_archive_name *names = ims_realloc_array(alloc, a->names, capacity, sizeof *names);
    if (names) {
      a->names = names;
      a->name_capacity = capacity;
    }
  }
  char *text = a->name_count < a->name_capacity ? descriptor_text(n, digest, size, media_type) : NULL;
  if (!text) {
    ims_free(alloc, name);
    return a->name_count >= MAX_IMAGES ? ims_fail(n->err, IMGSTORE_ELIMIT, "more than %d names", MAX_IMAGES)
                                       : ims_fail_nomem(n->err);
  }
  a->names[a->name_count++] = (ims_archive_name){name, text, *digest};
  return IMGSTORE_OK;
}

/* --- index.json -----------------------------------------------------------------------------------------------------
 */

static int32_t check_layout(const naming *n) {
  const ims_indexed_member *m;
  ims_json *json;
  int32_t rc = find_document(n, "oci-layout", &m);
  if (!rc)
    rc = ims_json_parse(&json, alloc_of(n), m->text, (size_t)m->size, "oci-layout", n->err);
  if (rc)
    return rc;
  const char *version = ims_json_string(ims_json_get(ims_json_root(json), "imageLayoutVersion"));
  if (!version)
    rc = ims_fail(n->err, IMGSTORE_EFORMAT, "oci-layout: no imageLayoutVersion");
  else if (strcmp(version, "1.0.0") != 0)
    rc = ims_fail(n->err, IMGSTORE_EUNSUPPORTED, "oci-layout: layout version %.64s", version);
  ims_json_free(json);
  return rc;
}

static int32_t open_index(const naming *n, imgstore_manifest **index) {
  const ims_manifest_limits limits = {limits_of(n)->max_manifest_bytes, MAX_IMAGES};
  const ims_indexed_member *m;
  *index = NULL;
  int32_t rc = check_layout(n);
  if (!rc)
    rc = find_document(n, "index.json", &m);
  if (!rc)
    rc = ims_manifest_parse(index, alloc_of(n), m->text, (size_t)m->size, NULL, NULL, &limits, "index.json", n->err);
  if (!rc && (*index)->kind != IMGSTORE_MANIFEST_INDEX)
    rc = ims_fail(n->err, IMGSTORE_EFORMAT, "index.json: is no index");
  return rc;
}

static int32_t add_oci_names(const naming *n, const imgstore_manifest *index) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < index->count; i++) {
    const imgstore_descriptor *d = &index->entries[i];
    const char *name = ims_descriptor_annotation(d, "io.containerd.image.name");
    if (!name)
      name = ims_descriptor_annotation(d, "org.opencontainers.image.ref.name");
    rc = add_name(n, name ? name : "", &d->digest, d->size, d->media_type);
  }
  return rc;
}

/* --- what index.json leads to ---------------------------------------------------------------------------------------
 */

static int32_t keep(naming *n, imgstore_manifest *m) {
  if (n->layout_count == n->layout_capacity) {
    size_t capacity = n->layout_capacity ? n->layout_capacity * 2 : 16;
    imgstore_manifest **grown = ims_realloc_array(alloc_of(n), n->layout, capacity, sizeof *grown);
    if (!grown) {
      imgstore_manifest_unref(m);
      return ims_fail_nomem(n->err);
    }
    n->layout = grown;
    n->layout_capacity = capacity;
  }
  n->layout[n->layout_count++] = m;
  return IMGSTORE_OK;
}

static int32_t read_blob(const naming *n, const ims_archive_blob *b, ims_buf *bytes) {
  size_t got;
  if (ims_buf_reserve(bytes, (size_t)b->size + 1))
    return ims_fail_nomem(n->err);
  int failed = ims_archive_index_read(&n->archive->index, b->member, 0, bytes->data, (size_t)b->size, &got);
  if (failed)
    return ims_fail_os(n->err, failed, "member \"%.256s\": cannot read", b->member->path);
  bytes->size = got;
  bytes->data[got] = '\0';
  return IMGSTORE_OK;
}

/* What is missing, or is no manifest, is no image that manifest.json could mean. */
static int32_t look_at(naming *n, const imgstore_descriptor *d) {
  const ims_manifest_limits limits = {limits_of(n)->max_manifest_bytes, limits_of(n)->max_layers};
  const ims_archive_blob *b = ims_archive_store_blob(n->archive, &d->digest);
  if (!b || !b->member || b->size > limits.max_bytes || ims_digest_set_find(&n->seen, &d->digest))
    return IMGSTORE_OK;
  if (n->seen.count >= MAX_IMAGES)
    return ims_fail(n->err, IMGSTORE_ELIMIT, "more than %d manifests", MAX_IMAGES);
  if (!ims_digest_set_add(&n->seen, &d->digest))
    return ims_fail_nomem(n->err);
  imgstore_manifest *m = NULL;
  ims_error own = IMS_ERROR_INIT;
  ims_buf bytes;
  ims_buf_init(&bytes, alloc_of(n), SIZE_MAX - 1);
  int32_t rc = read_blob(n, b, &bytes);
  if (!rc)
    rc = ims_manifest_parse(&m, alloc_of(n), ims_buf_text(&bytes), bytes.size, d->media_type, &d->digest, &limits,
                            d->digest.text, &own);
  ims_buf_free(&bytes);
  if (!rc)
    return keep(n, m);
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(n->err) : n->err->code;
}

static int32_t look_below(naming *n, const imgstore_manifest *index) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < index->count; i++)
    rc = look_at(n, &index->entries[i]);
  for (size_t k = 0; !rc && k < n->layout_count; k++) /* grows while it runs */
    for (size_t i = 0; !rc && n->layout[k]->kind == IMGSTORE_MANIFEST_INDEX && i < n->layout[k]->count; i++)
      rc = look_at(n, &n->layout[k]->entries[i]);
  return rc;
}

/* --- manifest.json --------------------------------------------------------------------------------------------------
 */

typedef struct docker_image {
  const char *config_path;
  const ims_pair *tags, *layers;
  size_t tag_count, layer_count;
  void *arena;
  ims_config *config;
  ims_digest config_digest;
  uint64_t config_size;
  const ims_indexed_member **members; /* of the layers */
  imgstore_descriptor *descriptors;
} docker_image;

static int32_t read_image(const naming *n, const ims_json_value *object, docker_image *i) {
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

static int32_t find_file(const naming *n, const char *named, const ims_indexed_member **m) {
  char *path = ims_malloc(alloc_of(n), strlen(named) + 1);
  int32_t rc = path ? ims_archive_clean_path(named, path, n->err) : ims_fail_nomem(n->err);
  *m = rc ? NULL : ims_archive_index_find(&n->archive->index, path);
  ims_free(alloc_of(n), path);
  if (rc || (*m && !(*m)->text))
    return rc;
  return ims_fail(n->err, IMGSTORE_EFORMAT, *m ? "\"%.256s\" is no blob" : "\"%.256s\" is not in the archive", named);
}

static int32_t load_config(const naming *n, docker_image *i) {
  const ims_indexed_member *m;
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
  rc = read_blob(n, &blob, &bytes);
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

/* A layer below blobs/ has the digest of its path; any other must be a plain tar, and has its diffID. */
static int32_t describe_layer(const naming *n, docker_image *i, size_t k) {
  static const char *const types[] = {[IMS_FORMAT_NONE] = "application/vnd.oci.image.layer.v1.tar",
                                      [IMS_FORMAT_GZIP] = "application/vnd.oci.image.layer.v1.tar+gzip",
                                      [IMS_FORMAT_ZSTD] = "application/vnd.oci.image.layer.v1.tar+zstd"};
  const ims_indexed_member *m;
  uint8_t head[SNIFF_SIZE];
  size_t got;
  imgstore_descriptor *d = &i->descriptors[k];
  int32_t rc = find_file(n, i->layers[k].value, &m);
  if (rc)
    return ims_error_prefix(n->err, "Layers[%zu]", k);
  int failed = ims_archive_index_read(&n->archive->index, m, 0, head, sizeof head, &got);
  if (failed)
    return ims_fail_os(n->err, failed, "member \"%.256s\": cannot read", m->path);
  int32_t format = ims_format_sniff(head, got);
  bool named = ims_archive_path_digest(m->path, &d->digest);
  if (!named && format != IMS_FORMAT_NONE)
    return ims_fail(n->err, IMGSTORE_EUNSUPPORTED,
                    "layer \"%.256s\": is compressed, and nothing says its digest: load the archive into a store first",
                    i->layers[k].value);
  if (named && format == IMS_FORMAT_NONE && d->digest.algorithm == i->config->diff_ids[k].algorithm &&
      !ims_digest_equal(&d->digest, &i->config->diff_ids[k]))
    return ims_fail(n->err, IMGSTORE_EDIGEST, "layer \"%.256s\": the config says that it is %s", i->layers[k].value,
                    i->config->diff_ids[k].text);
  if (!named)
    d->digest = i->config->diff_ids[k];
  d->size = m->size;
  d->media_type = types[format];
  i->members[k] = m;
  return IMGSTORE_OK;
}

/* The image of the layout that has this config and these layers, or NULL. */
static const imgstore_manifest *in_layout(const naming *n, const docker_image *i) {
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
static int32_t add_layers(const naming *n, const docker_image *i) {
  int32_t rc = IMGSTORE_OK;
  for (size_t k = 0; !rc && k < i->layer_count; k++) {
    rc = ims_archive_store_add(n->archive, &i->descriptors[k].digest, i->members[k], NULL, i->members[k]->size, n->err);
    if (!rc && ims_archive_store_blob(n->archive, &i->descriptors[k].digest)->size != i->members[k]->size)
      rc = ims_fail(n->err, IMGSTORE_EDIGEST, "layer \"%.256s\": another member of another size is %s",
                    i->layers[k].value, i->descriptors[k].digest.text);
  }
  return rc;
}

static int32_t compose(const naming *n, const docker_image *i, ims_digest *digest, uint64_t *size) {
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

static int32_t add_tags(const naming *n, const docker_image *i, const ims_digest *digest, uint64_t size,
                        const char *media_type) {
  int32_t rc = i->tag_count ? IMGSTORE_OK : add_name(n, "", digest, size, media_type);
  for (size_t k = 0; !rc && k < i->tag_count; k++)
    rc = i->tags[k].value[0] ? add_name(n, i->tags[k].value, digest, size, media_type)
                             : ims_fail(n->err, IMGSTORE_EFORMAT, "RepoTags[%zu] is empty", k);
  return rc;
}

static int32_t add_image(const naming *n, docker_image *i) {
  ims_digest digest;
  uint64_t size;
  int32_t rc = load_config(n, i);
  if (rc)
    return rc;
  i->descriptors = ims_arena_take(&i->arena, alloc_of(n), i->layer_count, sizeof *i->descriptors);
  i->members = ims_arena_take(&i->arena, alloc_of(n), i->layer_count, sizeof *i->members);
  if (!i->descriptors || !i->members)
    return ims_fail_nomem(n->err);
  for (size_t k = 0; !rc && k < i->layer_count; k++)
    rc = describe_layer(n, i, k);
  if (rc)
    return rc;
  const imgstore_manifest *known = in_layout(n, i);
  if (!known && !n->compose)
    return ims_fail(n->err, IMGSTORE_EFORMAT, "index.json has no image of this config and layers");
  if (known)
    return n->give ? add_tags(n, i, &known->digest, known->size, known->media_type) : IMGSTORE_OK;
  rc = add_layers(n, i);
  if (!rc)
    rc = compose(n, i, &digest, &size);
  return rc ? rc : add_tags(n, i, &digest, size, IMS_MT_OCI_MANIFEST);
}

static int32_t read_docker(const naming *n) {
  const ims_indexed_member *m;
  ims_json *json;
  int32_t rc = find_document(n, "manifest.json", &m);
  if (!rc)
    rc = ims_json_parse(&json, alloc_of(n), m->text, (size_t)m->size, "manifest.json", n->err);
  if (rc)
    return rc;
  const ims_json_value *root = ims_json_root(json);
  if (ims_json_type(root) != IMS_JSON_ARRAY)
    rc = ims_fail(n->err, IMGSTORE_EFORMAT, "manifest.json: is no array");
  size_t number = 0;
  for (const ims_json_value *v = ims_json_first(root); !rc && v; v = ims_json_next(v), number++) {
    docker_image image;
    memset(&image, 0, sizeof image);
    rc = number >= MAX_IMAGES ? ims_fail(n->err, IMGSTORE_ELIMIT, "more than %d images", MAX_IMAGES)
                              : read_image(n, v, &image);
    if (!rc)
      rc = add_image(n, &image);
    if (rc && rc != IMGSTORE_ENOMEM)
      ims_error_prefix(n->err, "manifest.json: image %zu", number);
    ims_config_free(image.config);
    ims_arena_free(&image.arena, alloc_of(n));
  }
  ims_json_free(json);
  return rc;
}

/* --- both -----------------------------------------------------------------------------------------------------------
 */

static int32_t read_names(naming *n, int32_t format) {
  bool docker = ims_archive_index_find(&n->archive->index, "manifest.json") != NULL;
  bool oci = ims_archive_index_find(&n->archive->index, "index.json") != NULL;
  if (format == IMGSTORE_ARCHIVE_AUTO ? !docker && !oci : format == IMGSTORE_ARCHIVE_DOCKER ? !docker : !oci)
    return ims_fail(n->err, IMGSTORE_EFORMAT, "holds no %s: no archive of images",
                    format == IMGSTORE_ARCHIVE_OCI      ? "index.json"
                    : format == IMGSTORE_ARCHIVE_DOCKER ? "manifest.json"
                                                        : "manifest.json and no index.json");
  imgstore_manifest *index = NULL;
  int32_t rc = oci ? open_index(n, &index) : IMGSTORE_OK;
  if (!rc && oci && docker)
    rc = look_below(n, index);
  n->give = format == IMGSTORE_ARCHIVE_DOCKER || !oci;
  n->compose = n->give;
  if (!rc && !n->give)
    rc = add_oci_names(n, index);
  if (!rc && docker && format != IMGSTORE_ARCHIVE_OCI)
    rc = read_docker(n);
  imgstore_manifest_unref(index);
  return rc;
}

int32_t ims_archive_read_names(ims_archive_store *archive, int32_t format, ims_error *err) {
  naming n = {.archive = archive, .err = err};
  ims_digest_set_init(&n.seen, alloc_of(&n));
  int32_t rc = read_names(&n, format);
  for (size_t i = 0; i < n.layout_count; i++)
    imgstore_manifest_unref(n.layout[i]);
  ims_free(alloc_of(&n), n.layout);
  ims_digest_set_free(&n.seen);
  return rc;
}
