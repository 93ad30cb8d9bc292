/*
 * store/layout_index.c (L3) - references of the layout directory: the entries of index.json.
 *
 * Only the entry of the reference that changes is written anew; entries and fields that others made are copied.
 * Readers take no lock: they see the file before or after a rename. Source: image-spec 1.1 image-layout, annotations.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "store/layout.h"

#define NAME_FULL "io.containerd.image.name"
#define NAME_REF "org.opencontainers.image.ref.name"
#define INDEX_FILE "index.json"
#define RESERVE_FILE "reserve"
#define TEMP_FILE "new"

enum { INDEX_MAX = 64 * 1024 * 1024, RESERVE_SLACK = 64 * 1024 };

/* --- reading ------------------------------------------------------------------------------------------------------ */

void ims_layout_index_free(ims_layout_index *index) {
  ims_json_free(index->json);
  index->json = NULL;
  ims_buf_free(&index->text);
}

int32_t ims_layout_index_load(const ims_layout *l, ims_layout_index *index, ims_error *err) {
  const ims_alloc *alloc = &l->core->alloc;
  memset(index, 0, sizeof *index);
  ims_buf_init(&index->text, alloc, INDEX_MAX);
  int32_t rc = ims_layout_read_file(l, l->root, INDEX_FILE, &index->text);
  /* Without it nothing would be reachable, and collection would delete everything. */
  if (rc == IMGSTORE_ENOTFOUND)
    return ims_fail(err, IMGSTORE_ECORRUPT, "index.json is missing");
  if (!rc)
    rc = ims_json_parse(&index->json, alloc, ims_buf_text(&index->text), index->text.size, INDEX_FILE, err);
  if (rc)
    return rc;
  const ims_json_value *root = ims_json_root(index->json);
  index->manifests = ims_json_get(root, "manifests");
  if (ims_json_type(index->manifests) == IMS_JSON_NULL)
    index->manifests = NULL;
  if (ims_json_type(root) != IMS_JSON_OBJECT || (index->manifests && ims_json_type(index->manifests) != IMS_JSON_ARRAY))
    return ims_fail(err, IMGSTORE_EFORMAT, "index.json is not an image index");
  return IMGSTORE_OK;
}

static const char *annotation(const ims_json_value *entry, const char *key) {
  return ims_json_string(ims_json_get(ims_json_get(entry, "annotations"), key));
}

const char *ims_layout_entry_name(const ims_json_value *entry) {
  const char *digest = ims_json_string(ims_json_get(entry, "digest"));
  if (ims_json_type(entry) != IMS_JSON_OBJECT || !digest)
    return NULL;
  const char *name = annotation(entry, NAME_FULL);
  if (!name || !*name)
    name = annotation(entry, NAME_REF);
  return name && *name ? name : digest;
}

static const ims_json_value *find_entry(const ims_layout_index *index, const char *name) {
  for (const ims_json_value *e = ims_json_first(index->manifests); e; e = ims_json_next(e)) {
    const char *have = ims_layout_entry_name(e);
    if (have && strcmp(have, name) == 0)
      return e;
  }
  return NULL;
}

static int32_t visit_entry(const ims_layout *l, const ims_json_value *entry, imgstore_reference_visit visit,
                           void *data) {
  ims_buf text;
  ims_buf_init(&text, &l->core->alloc, INDEX_MAX);
  ims_json_put_value(&text, entry);
  int32_t rc = text.failed;
  if (!rc)
    rc = visit(data, ims_layout_entry_name(entry), ims_buf_text(&text), text.size);
  ims_buf_free(&text);
  return rc;
}

static int32_t reference_get(void *user_data, const char *name, imgstore_reference_visit visit, void *visit_data) {
  ims_layout *l = user_data;
  ims_layout_index index;
  int32_t rc = ims_layout_index_load(l, &index, NULL);
  if (!rc) {
    const ims_json_value *entry = find_entry(&index, name);
    rc = entry ? visit_entry(l, entry, visit, visit_data) : IMGSTORE_ENOTFOUND;
  }
  ims_layout_index_free(&index);
  return rc;
}

static int32_t reference_list(void *user_data, imgstore_reference_visit visit, void *visit_data) {
  ims_layout *l = user_data;
  ims_layout_index index;
  int32_t rc = ims_layout_index_load(l, &index, NULL);
  const ims_json_value *e = rc ? NULL : ims_json_first(index.manifests);
  for (; e && !rc; e = ims_json_next(e))
    if (ims_layout_entry_name(e))
      rc = visit_entry(l, e, visit, visit_data);
  ims_layout_index_free(&index);
  return rc;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/** Where the tag of a full name begins, or NULL when the name has none. */
static const char *tag_of(const char *name) {
  const char *slash = strrchr(name, '/');
  const char *colon = strrchr(name, ':');
  return !strchr(name, '@') && slash && colon && colon > slash && colon[1] ? colon + 1 : NULL;
}

/**
 * What other tools will call it: the tag, where no other entry is called so, else the full name. `oci:DIR:TAG` then
 * works in the ordinary case and never means two images.
 */
static const char *choose_ref_name(const ims_layout_index *index, const char *name) {
  const char *tag = tag_of(name);
  const ims_json_value *e = tag ? ims_json_first(index->manifests) : NULL;
  for (; e; e = ims_json_next(e)) {
    const char *have = annotation(e, NAME_REF), *full = ims_layout_entry_name(e);
    if (have && full && strcmp(full, name) != 0 && strcmp(have, tag) == 0)
      return name;
  }
  return tag ? tag : name;
}

static void put_member(ims_buf *out, const char *key, bool *first) {
  if (!*first)
    ims_buf_putc(out, ',');
  *first = false;
  ims_json_put_string(out, key, strlen(key));
  ims_buf_putc(out, ':');
}

static void put_annotations(ims_buf *out, const ims_json_value *annotations, const char *name, const char *ref_name) {
  bool first = true;
  ims_buf_putc(out, '{');
  for (const ims_json_value *m = ims_json_first(annotations); m; m = ims_json_next(m)) {
    const char *key = ims_json_key(m);
    if (strcmp(key, NAME_FULL) == 0 || strcmp(key, NAME_REF) == 0)
      continue;
    put_member(out, key, &first);
    ims_json_put_value(out, m);
  }
  put_member(out, NAME_FULL, &first);
  ims_json_put_string(out, name, strlen(name));
  put_member(out, NAME_REF, &first);
  ims_json_put_string(out, ref_name, strlen(ref_name));
  ims_buf_putc(out, '}');
}

static void put_entry(ims_buf *out, const ims_json_value *descriptor, const char *name, const char *ref_name) {
  bool first = true;
  ims_buf_putc(out, '{');
  for (const ims_json_value *m = ims_json_first(descriptor); m; m = ims_json_next(m)) {
    if (strcmp(ims_json_key(m), "annotations") == 0)
      continue;
    put_member(out, ims_json_key(m), &first);
    ims_json_put_value(out, m);
  }
  put_member(out, "annotations", &first);
  const ims_json_value *annotations = ims_json_get(descriptor, "annotations");
  put_annotations(out, ims_json_type(annotations) == IMS_JSON_OBJECT ? annotations : NULL, name, ref_name);
  ims_buf_putc(out, '}');
}

/** All entries, with the one of this name replaced, added or (descriptor NULL) left out. */
static void put_entries(ims_buf *out, const ims_layout_index *index, const char *name,
                        const ims_json_value *descriptor) {
  const char *ref_name = choose_ref_name(index, name);
  bool first = true, done = descriptor == NULL;
  ims_buf_putc(out, '[');
  for (const ims_json_value *e = ims_json_first(index->manifests); e; e = ims_json_next(e)) {
    const char *have = ims_layout_entry_name(e);
    bool same = have && strcmp(have, name) == 0;
    if (same && done)
      continue;
    if (!first)
      ims_buf_putc(out, ',');
    first = false;
    if (same)
      put_entry(out, descriptor, name, ref_name);
    else
      ims_json_put_value(out, e);
    done = done || same;
  }
  if (!done) {
    if (!first)
      ims_buf_putc(out, ',');
    put_entry(out, descriptor, name, ref_name);
  }
  ims_buf_putc(out, ']');
}

static int32_t put_index(ims_buf *out, const ims_layout_index *index, const char *name,
                         const ims_json_value *descriptor) {
  bool first = true, done = false;
  ims_buf_putc(out, '{');
  for (const ims_json_value *m = ims_json_first(ims_json_root(index->json)); m; m = ims_json_next(m)) {
    bool entries = strcmp(ims_json_key(m), "manifests") == 0;
    put_member(out, ims_json_key(m), &first);
    if (entries)
      put_entries(out, index, name, descriptor);
    else
      ims_json_put_value(out, m);
    done = done || entries;
  }
  if (!done) {
    put_member(out, "manifests", &first);
    put_entries(out, index, name, descriptor);
  }
  ims_buf_putc(out, '}');
  return out->failed;
}

/* --- replacing the file ---------------------------------------------------------------------------------------------
 */

/** fd is positioned nowhere: a new file, or the reserve, whose blocks are allocated already. */
static int32_t fill_and_rename(const ims_layout *l, int fd, const char *temp, const char *name, const char *text,
                               size_t size) {
  int32_t rc = ims_layout_pwrite(l, fd, 0, text, size);
  if (!rc && (l->sys->ftruncate(fd, (off_t)size) || l->sys->fchmod(fd, 0644)))
    rc = ims_code_of_errno(errno);
  if (!rc)
    rc = ims_layout_flush(l, fd);
  if (!rc && l->sys->renameat2(l->private_dir, temp, l->root, name, 0))
    rc = ims_code_of_errno(errno);
  return rc ? rc : ims_layout_flush_dir(l, l->root);
}

static int32_t replace_by(const ims_layout *l, const char *temp, int flags, const char *name, const char *text,
                          size_t size) {
  int fd = l->sys->openat(l->private_dir, temp, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600);
  if (fd < 0)
    return ims_code_of_errno(errno);
  int32_t rc = fill_and_rename(l, fd, temp, name, text, size);
  if (rc)
    l->sys->unlinkat(l->private_dir, temp, 0);
  ims_layout_close(l, &fd);
  return rc;
}

/** The disk is full, but the blocks of the reserve are ours already. */
static int32_t replace_by_reserve(const ims_layout *l, const char *name, const char *text, size_t size) {
  int live = l->sys->openat(l->root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  if (live < 0)
    return ims_code_of_errno(errno);
  bool same = ims_layout_same_file(l, l->private_dir, RESERVE_FILE, live);
  ims_layout_close(l, &live);
  return same ? IMGSTORE_ENOSPACE : replace_by(l, RESERVE_FILE, 0, name, text, size);
}

int32_t ims_layout_replace_file(const ims_layout *l, const char *name, const char *text, size_t size, bool removing) {
  /* Never through an existing file: a file system without a journal may have left it a second name of the live one. */
  l->sys->unlinkat(l->private_dir, TEMP_FILE, 0);
  int32_t rc = replace_by(l, TEMP_FILE, O_CREAT | O_EXCL, name, text, size);
  if (rc == IMGSTORE_ENOSPACE && removing)
    rc = replace_by_reserve(l, name, text, size);
  return rc;
}

void ims_layout_keep_reserve(const ims_layout *l, size_t size) {
  struct stat st;
  uint64_t want = (uint64_t)size + RESERVE_SLACK;
  bool there = l->sys->fstatat(l->private_dir, RESERVE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (there && (uint64_t)st.st_size >= want && (uint64_t)st.st_blocks * 512 >= want)
    return;
  /* Twice what is needed: a store that grows by one image at a time seldom comes here. */
  want += size;
  int fd = l->sys->openat(l->private_dir, RESERVE_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return;
  if (l->sys->fallocate(fd, 0, 0, (off_t)want))
    ims_log(l->core, IMGSTORE_LOG_DEBUG, "store: no room is reserved for removing on a full disk");
  ims_layout_close(l, &fd);
}

/* --- setting
 * ---------------------------------------------------------------------------------------------------------- */

static int32_t check_expected(const ims_json_value *entry, const char *expected, bool removing) {
  if (removing && !entry)
    return IMGSTORE_ENOTFOUND;
  if (!expected)
    return IMGSTORE_OK;
  const char *digest = ims_json_string(ims_json_get(entry, "digest"));
  return strcmp(digest ? digest : "", expected) == 0 ? IMGSTORE_OK : IMGSTORE_ECONFLICT;
}

static int32_t change_index(ims_layout *l, const char *name, const char *expected, const ims_json_value *descriptor) {
  ims_layout_index index;
  ims_buf out;
  ims_buf_init(&out, &l->core->alloc, INDEX_MAX);
  int32_t rc = ims_layout_index_load(l, &index, NULL);
  if (!rc)
    rc = check_expected(find_entry(&index, name), expected, descriptor == NULL);
  if (!rc)
    rc = put_index(&out, &index, name, descriptor);
  if (!rc && out.size == index.text.size && memcmp(out.data, index.text.data, out.size) == 0)
    rc = ims_layout_flush_dir(l, l->root); /* as it was: perhaps by somebody who died before his own flush */
  else if (!rc)
    rc = ims_layout_replace_file(l, INDEX_FILE, out.data, out.size, descriptor == NULL);
  if (!rc)
    ims_layout_keep_reserve(l, out.size);
  ims_layout_index_free(&index);
  ims_buf_free(&out);
  return rc;
}

static int32_t reference_set(void *user_data, const char *name, const char *expected, const char *descriptor,
                             size_t size) {
  ims_layout *l = user_data;
  ims_json *json = NULL;
  int lock = -1;
  if (l->read_only)
    return IMGSTORE_EACCESS;
  int32_t rc = IMGSTORE_OK;
  if (descriptor)
    rc = ims_json_parse(&json, &l->core->alloc, descriptor, size, "descriptor", NULL);
  if (!rc && descriptor && ims_json_type(ims_json_root(json)) != IMS_JSON_OBJECT)
    rc = IMGSTORE_EINVALID;
  if (!rc)
    rc = ims_layout_lock_file(l, IMS_LAYOUT_LOCK_REFERENCES, LOCK_EX, &lock);
  if (!rc)
    rc = change_index(l, name, expected, ims_json_root(json));
  ims_layout_close(l, &lock);
  ims_json_free(json);
  return rc;
}

void ims_layout_reference_entries(imgstore_storage *storage) {
  storage->reference_get = reference_get;
  storage->reference_set = reference_set;
  storage->reference_list = reference_list;
}
