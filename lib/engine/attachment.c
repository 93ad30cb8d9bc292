/*
 * engine/attachment.c (L4) - objects to be attached, before they meet a registry. Files stay open, so that what is sent
 * is what was hashed or nothing.
 */
#include "engine/attachment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/text.h"

enum { PIECE = 64 * 1024 };

static const ims_alloc *alloc_of(const imgstore_attachment *a) {
  return &a->core->alloc;
}

/* type/subtype in printable ASCII, with parameters at most. */
static int32_t check_type(const char *type, ims_error *err) {
  const char *slash = strchr(type, '/');
  bool sound = slash && slash != type && slash[1];
  for (const char *s = type; *s && sound; s++)
    sound = *s > 0x20 || (*s == ' ' && s > slash);
  return sound && strlen(type) < 256 ? IMGSTORE_OK
                                     : ims_fail(err, IMGSTORE_EINVALID, "\"%.100s\": is not a media type", type);
}

int32_t ims_attachment_new(imgstore_attachment **attachment, ims_core *core, const char *artifact_type,
                           ims_error *err) {
  *attachment = NULL;
  int32_t rc = check_type(artifact_type, err);
  if (rc)
    return rc;
  imgstore_attachment *made = ims_calloc(&core->alloc, 1, sizeof *made);
  if (!made)
    return ims_fail_nomem(err);
  atomic_init(&made->refs, 1);
  made->core = ims_core_ref(core);
  made->artifact_type = ims_strdup(&core->alloc, artifact_type);
  if (!made->artifact_type) {
    ims_attachment_unref(made);
    return ims_fail_nomem(err);
  }
  *attachment = made;
  return IMGSTORE_OK;
}

imgstore_attachment *ims_attachment_ref(imgstore_attachment *attachment) {
  atomic_fetch_add_explicit(&attachment->refs, 1, memory_order_relaxed);
  return attachment;
}

static void free_text(const ims_alloc *a, const char *text) {
  ims_free(a, (void *)(uintptr_t)text);
}

static void file_free(const imgstore_attachment *a, ims_attachment_file *file) {
  if (!file)
    return;
  if (file->fd >= 0)
    a->core->sys->close(file->fd);
  free_text(alloc_of(a), file->descriptor.media_type);
  free_text(alloc_of(a), file->title.value);
  ims_free(alloc_of(a), file->bytes);
  ims_free(alloc_of(a), file->path);
  ims_free(alloc_of(a), file);
}

void ims_attachment_unref(imgstore_attachment *attachment) {
  if (!attachment || atomic_fetch_sub_explicit(&attachment->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_core *core = attachment->core;
  for (size_t i = 0; i < attachment->count; i++)
    file_free(attachment, attachment->files[i]);
  for (size_t i = 0; i < attachment->annotation_count; i++) {
    free_text(&core->alloc, attachment->annotations[i].key);
    free_text(&core->alloc, attachment->annotations[i].value);
  }
  ims_free(&core->alloc, attachment->files);
  ims_free(&core->alloc, attachment->annotations);
  ims_free(&core->alloc, attachment->artifact_type);
  ims_free(&core->alloc, attachment);
  ims_core_unref(core);
}

/* --- content --------------------------------------------------------------------------------------------------------
 */

static int32_t file_new(const imgstore_attachment *a, ims_attachment_file **out, const char *path,
                        const char *media_type, const char *title, ims_error *err) {
  *out = NULL;
  int32_t rc = media_type ? check_type(media_type, err) : IMGSTORE_OK;
  if (!rc && title && !ims_utf8_valid(title, strlen(title)))
    rc = ims_fail(err, IMGSTORE_EINVALID, "the title is not UTF-8");
  if (rc)
    return rc;
  ims_attachment_file *file = ims_calloc(alloc_of(a), 1, sizeof *file);
  if (!file)
    return ims_fail_nomem(err);
  file->fd = -1;
  file->path = ims_strdup(alloc_of(a), path);
  file->descriptor.media_type = ims_strdup(alloc_of(a), media_type ? media_type : a->artifact_type);
  if (title && title[0]) {
    file->title = (ims_pair){"org.opencontainers.image.title", ims_strdup(alloc_of(a), title)};
    file->descriptor.annotations = &file->title;
    file->descriptor.annotation_count = 1;
  }
  if (!file->path || !file->descriptor.media_type || (title && title[0] && !file->title.value)) {
    file_free(a, file);
    return ims_fail_nomem(err);
  }
  *out = file;
  return IMGSTORE_OK;
}

static int32_t keep_file(imgstore_attachment *a, ims_attachment_file *file, ims_error *err) {
  if (a->count == IMS_ATTACHMENT_FILES_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %d files", IMS_ATTACHMENT_FILES_MAX);
  if (a->count == a->capacity) {
    size_t capacity = a->capacity ? a->capacity * 2 : 4;
    ims_attachment_file **files = ims_realloc_array(alloc_of(a), a->files, capacity, sizeof *files);
    if (!files)
      return ims_fail_nomem(err);
    a->files = files;
    a->capacity = capacity;
  }
  a->files[a->count++] = file;
  return IMGSTORE_OK;
}

static int32_t hash_file(const imgstore_attachment *a, ims_attachment_file *file, ims_error *err) {
  ims_hash hash;
  size_t got;
  int32_t rc = IMGSTORE_OK;
  uint8_t *piece = ims_malloc(alloc_of(a), PIECE);
  if (!piece)
    return ims_fail_nomem(err);
  ims_hash_init(&hash, IMS_HASH_SHA256);
  do {
    rc = ims_attachment_read(a, file, file->descriptor.size, piece, PIECE, &got, err);
    ims_hash_update(&hash, piece, got);
    file->descriptor.size += got;
  } while (!rc && got);
  ims_free(alloc_of(a), piece);
  ims_digest_from_hash(&file->descriptor.digest, &hash);
  return rc;
}

static int32_t open_file(const imgstore_attachment *a, ims_attachment_file *file, ims_error *err) {
  struct stat st;
  file->fd = a->core->sys->openat(AT_FDCWD, file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (file->fd < 0 || a->core->sys->fstat(file->fd, &st))
    return ims_fail_os(err, errno, "%s", file->path);
  if (!S_ISREG(st.st_mode))
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: is not a file", file->path);
  return hash_file(a, file, err);
}

int32_t ims_attachment_add_file(imgstore_attachment *a, const char *path, const char *media_type, const char *title,
                                ims_error *err) {
  ims_attachment_file *file;
  const char *slash = strrchr(path, '/');
  int32_t rc = file_new(a, &file, path, media_type, title ? title : slash ? slash + 1 : path, err);
  if (rc)
    return rc;
  rc = open_file(a, file, err);
  if (!rc)
    rc = keep_file(a, file, err);
  if (rc)
    file_free(a, file);
  return rc;
}

int32_t ims_attachment_add_bytes(imgstore_attachment *a, const void *data, size_t size, const char *media_type,
                                 const char *title, ims_error *err) {
  ims_attachment_file *file;
  int32_t rc = file_new(a, &file, title && title[0] ? title : "bytes", media_type, title, err);
  if (rc)
    return rc;
  file->bytes = ims_strndup(alloc_of(a), size ? data : "", size);
  file->descriptor.size = size;
  if (file->bytes)
    ims_digest_of(&file->descriptor.digest, IMS_HASH_SHA256, file->bytes, size);
  rc = file->bytes ? keep_file(a, file, err) : ims_fail_nomem(err);
  if (rc)
    file_free(a, file);
  return rc;
}

int32_t ims_attachment_read(const imgstore_attachment *a, const ims_attachment_file *file, uint64_t offset,
                            void *buffer, size_t size, size_t *got, ims_error *err) {
  *got = 0;
  if (file->fd < 0) {
    uint64_t left = offset < file->descriptor.size ? file->descriptor.size - offset : 0;
    *got = left < size ? (size_t)left : size;
    memcpy(buffer, file->bytes + (file->descriptor.size - left), *got);
    return IMGSTORE_OK;
  }
  ssize_t n;
  do {
    n = a->core->sys->pread(file->fd, buffer, size, (off_t)offset);
  } while (n < 0 && errno == EINTR);
  if (n < 0)
    return ims_fail_os(err, errno, "%s", file->path);
  *got = (size_t)n;
  return n || offset >= file->descriptor.size
             ? IMGSTORE_OK
             : ims_fail(err, IMGSTORE_EDIGEST, "%s: is shorter than it was", file->path);
}

/* --- annotations ----------------------------------------------------------------------------------------------------
 */

static int32_t check_annotation(const imgstore_attachment *a, const char *key, const char *value, ims_error *err) {
  if (!key[0] || !ims_utf8_valid(key, strlen(key)) || !ims_utf8_valid(value, strlen(value)))
    return ims_fail(err, IMGSTORE_EINVALID, "annotation \"%.100s\": the key is empty or something is not UTF-8", key);
  for (size_t i = 0; i < a->annotation_count; i++)
    if (ims_equal_fold(a->annotations[i].key, key))
      return ims_fail(err, IMGSTORE_EINVALID, "annotation \"%.100s\": is set already", key);
  return a->annotation_count < IMS_ATTACHMENT_ANNOTATIONS_MAX
             ? IMGSTORE_OK
             : ims_fail(err, IMGSTORE_ELIMIT, "more than %d annotations", IMS_ATTACHMENT_ANNOTATIONS_MAX);
}

int32_t ims_attachment_annotate(imgstore_attachment *a, const char *key, const char *value, ims_error *err) {
  int32_t rc = check_annotation(a, key, value, err);
  if (rc)
    return rc;
  if (a->annotation_count == a->annotation_capacity) {
    size_t capacity = a->annotation_capacity ? a->annotation_capacity * 2 : 8;
    ims_pair *pairs = ims_realloc_array(alloc_of(a), a->annotations, capacity, sizeof *pairs);
    if (!pairs)
      return ims_fail_nomem(err);
    a->annotations = pairs;
    a->annotation_capacity = capacity;
  }
  ims_pair pair = {ims_strdup(alloc_of(a), key), ims_strdup(alloc_of(a), value)};
  if (pair.key && pair.value) {
    a->annotations[a->annotation_count++] = pair;
    return IMGSTORE_OK;
  }
  free_text(alloc_of(a), pair.key);
  free_text(alloc_of(a), pair.value);
  return ims_fail_nomem(err);
}
