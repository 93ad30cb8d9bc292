/*
 * engine/archive_names.c (L4) - the images of an archive that is read where it is: the names they have, and what
 * index.json of an OCI layout leads to.
 */
#include <string.h>

#include "base/text.h"
#include "engine/archive_naming.h"
#include "engine/archive_path.h"
#include "oci/reference.h"

enum { MAX_DESCRIPTOR = 64 << 20 };

enum { AT_BEGIN, AT_LAYOUT, AT_DOCKER };

static const ims_alloc *alloc_of(const ims_archive_naming *n) {
  return &n->archive->index.core->alloc;
}

static const imgstore_context_options *limits_of(const ims_archive_naming *n) {
  return &n->archive->index.core->limits;
}

int32_t ims_naming_document(const ims_archive_naming *n, const char *path, const ims_archive_member **m) {
  *m = ims_archive_index_find(&n->archive->index, path);
  if (*m && (*m)->kind == IMS_ARCHIVE_DOCUMENT)
    return IMGSTORE_OK;
  return ims_fail(n->err, IMGSTORE_EFORMAT, *m ? "%s is no file" : "%s is missing", path);
}

/* --- names ----------------------------------------------------------------------------------------------------------
 */

/* As load does: a tag alone, or none, is completed with what the file is called. */
static void put_name(const ims_archive_naming *n, const char *given, ims_buf *out) {
  const char *base;
  if (given[0] && strpbrk(given, "/:")) {
    ims_buf_puts(out, given);
    return;
  }
  size_t size = ims_archive_base_name(n->archive->index.path, true, &base);
  for (size_t i = 0; i < size; i++)
    ims_buf_putc(out, ims_ascii_lower(base[i]));
  ims_buf_printf(out, ":%s", given[0] ? given : "latest");
}

/* A name that is no reference stays as it is. */
static char *full_name(const ims_archive_naming *n, const char *given) {
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

static char *descriptor_text(const ims_archive_naming *n, const ims_digest *digest, uint64_t size,
                             const char *media_type) {
  ims_buf out;
  ims_buf_init(&out, alloc_of(n), MAX_DESCRIPTOR);
  ims_buf_puts(&out, "{\"mediaType\":");
  ims_json_put_string(&out, media_type, strlen(media_type));
  ims_buf_printf(&out, ",\"digest\":\"%s\",\"size\":%llu}", digest->text, (unsigned long long)size);
  char *text = out.failed ? NULL : ims_buf_detach(&out, NULL);
  ims_buf_free(&out);
  return text;
}

int32_t ims_naming_add(const ims_archive_naming *n, const char *given, const ims_digest *digest, uint64_t size,
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
  if (a->name_count == a->name_capacity && a->name_count < IMS_NAMING_IMAGES) {
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
    return a->name_count >= IMS_NAMING_IMAGES
               ? ims_fail(n->err, IMGSTORE_ELIMIT, "more than %d names", IMS_NAMING_IMAGES)
               : ims_fail_nomem(n->err);
  }
  a->names[a->name_count++] = (ims_archive_name){name, text, *digest};
  return IMGSTORE_OK;
}

/* --- index.json -----------------------------------------------------------------------------------------------------
 */

static int32_t check_layout(const ims_archive_naming *n) {
  const ims_archive_member *m;
  ims_json *json;
  int32_t rc = ims_naming_document(n, "oci-layout", &m);
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

static int32_t open_index(const ims_archive_naming *n, imgstore_manifest **index) {
  const ims_manifest_limits limits = {limits_of(n)->max_manifest_bytes, IMS_NAMING_IMAGES};
  const ims_archive_member *m;
  *index = NULL;
  int32_t rc = check_layout(n);
  if (!rc)
    rc = ims_naming_document(n, "index.json", &m);
  if (!rc)
    rc = ims_manifest_parse(index, alloc_of(n), m->text, (size_t)m->size, NULL, NULL, &limits, "index.json", n->err);
  if (!rc && (*index)->kind != IMGSTORE_MANIFEST_INDEX)
    rc = ims_fail(n->err, IMGSTORE_EFORMAT, "index.json: is no index");
  return rc;
}

static int32_t add_oci_names(const ims_archive_naming *n, const imgstore_manifest *index) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < index->count; i++) {
    const imgstore_descriptor *d = &index->entries[i];
    const char *name = ims_descriptor_annotation(d, "io.containerd.image.name");
    if (!name)
      name = ims_descriptor_annotation(d, "org.opencontainers.image.ref.name");
    rc = ims_naming_add(n, name ? name : "", &d->digest, d->size, d->media_type);
  }
  return rc;
}

/* --- what index.json leads to ---------------------------------------------------------------------------------------
 */

static int32_t keep(ims_archive_naming *n, imgstore_manifest *m) {
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

int32_t ims_naming_read(const ims_archive_naming *n, const ims_archive_blob *b, ims_buf *bytes) {
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
static int32_t look_at(ims_archive_naming *n, const imgstore_descriptor *d) {
  const ims_manifest_limits limits = {limits_of(n)->max_manifest_bytes, limits_of(n)->max_layers};
  const ims_archive_blob *b = ims_archive_store_blob(n->archive, &d->digest);
  if (!b || !b->member || b->size > limits.max_bytes || ims_digest_set_find(&n->seen, &d->digest))
    return IMGSTORE_OK;
  if (n->seen.count >= IMS_NAMING_IMAGES)
    return ims_fail(n->err, IMGSTORE_ELIMIT, "more than %d manifests", IMS_NAMING_IMAGES);
  if (!ims_digest_set_add(&n->seen, &d->digest))
    return ims_fail_nomem(n->err);
  imgstore_manifest *m = NULL;
  ims_error own = IMS_ERROR_INIT;
  ims_buf bytes;
  ims_buf_init(&bytes, alloc_of(n), SIZE_MAX - 1);
  int32_t rc = ims_naming_read(n, b, &bytes);
  if (!rc)
    rc = ims_manifest_parse(&m, alloc_of(n), ims_buf_text(&bytes), bytes.size, d->media_type, &d->digest, &limits,
                            d->digest.text, &own);
  ims_buf_free(&bytes);
  if (!rc)
    return keep(n, m);
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(n->err) : n->err->code;
}

/* One more of what the layout leads to; IMGSTORE_OK: there is none. */
static int32_t look_below(ims_archive_naming *n) {
  while (n->parent <= n->layout_count) {
    const imgstore_manifest *m = n->parent ? n->layout[n->parent - 1] : n->index;
    if (m->kind == IMGSTORE_MANIFEST_INDEX && n->child < m->count) {
      int32_t rc = look_at(n, &m->entries[n->child++]);
      return rc ? rc : IMGSTORE_EAGAIN;
    }
    n->parent++;
    n->child = 0;
  }
  return IMGSTORE_OK;
}

/* --- both -----------------------------------------------------------------------------------------------------------
 */

static int32_t begin(ims_archive_naming *n) {
  int32_t format = n->archive->format;
  bool docker = ims_archive_index_find(&n->archive->index, "manifest.json") != NULL;
  bool oci = ims_archive_index_find(&n->archive->index, "index.json") != NULL;
  if (format == IMGSTORE_ARCHIVE_AUTO ? !docker && !oci : format == IMGSTORE_ARCHIVE_DOCKER ? !docker : !oci)
    return ims_fail(n->err, IMGSTORE_EFORMAT, "holds no %s: no archive of images",
                    format == IMGSTORE_ARCHIVE_OCI      ? "index.json"
                    : format == IMGSTORE_ARCHIVE_DOCKER ? "manifest.json"
                                                        : "manifest.json and no index.json");
  n->docker = docker && format != IMGSTORE_ARCHIVE_OCI;
  n->give = n->compose = format == IMGSTORE_ARCHIVE_DOCKER || !oci;
  n->state = AT_LAYOUT;
  int32_t rc = oci ? open_index(n, &n->index) : IMGSTORE_OK;
  return rc ? rc : IMGSTORE_EAGAIN;
}

static int32_t run_layout(ims_archive_naming *n) {
  int32_t rc = n->index && n->docker ? look_below(n) : IMGSTORE_OK;
  if (!rc && !n->give)
    rc = add_oci_names(n, n->index);
  if (rc || !n->docker)
    return rc;
  n->state = AT_DOCKER;
  return ims_naming_docker_begin(n);
}

int32_t ims_archive_naming_step(ims_archive_store *archive, ims_error *err) {
  ims_archive_naming *n = archive->naming;
  if (!n) {
    n = archive->naming = ims_calloc(&archive->index.core->alloc, 1, sizeof *n);
    if (!n)
      return ims_fail_nomem(err);
    n->archive = archive;
    ims_digest_set_init(&n->seen, alloc_of(n));
  }
  n->err = err;
  switch (n->state) {
  case AT_BEGIN:
    return begin(n);
  case AT_LAYOUT:
    return run_layout(n);
  default:
    return ims_naming_docker_step(n);
  }
}

void ims_archive_naming_free(ims_archive_store *archive) {
  ims_archive_naming *n = archive->naming;
  if (!n)
    return;
  const ims_alloc *alloc = alloc_of(n);
  ims_naming_docker_free(n);
  for (size_t i = 0; i < n->layout_count; i++)
    imgstore_manifest_unref(n->layout[i]);
  ims_free(alloc, n->layout);
  imgstore_manifest_unref(n->index);
  ims_digest_set_free(&n->seen);
  ims_free(alloc, n);
  archive->naming = NULL;
}
