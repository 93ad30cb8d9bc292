/*
 * engine/archive_members.c (L4) - the table of an archive's members.
 */
#include "engine/archive_members.h"

#include <stdlib.h>
#include <string.h>

#include "engine/archive_path.h"

enum {
  MAX_MEMBERS = 65536,
  MAX_NAMES = 64 << 20, /* bytes of the paths of members and of what links lead to */
  MAX_LINKS = 8
};

void ims_archive_members_init(ims_archive_members *t, const ims_core *core) {
  memset(t, 0, sizeof *t);
  t->core = core;
}

void ims_archive_members_free(ims_archive_members *t) {
  if (!t->core)
    return;
  for (size_t i = 0; i < t->count; i++) {
    ims_free(&t->core->alloc, t->items[i].path);
    ims_free(&t->core->alloc, t->items[i].text);
  }
  ims_free(&t->core->alloc, t->items);
  memset(t, 0, sizeof *t);
}

/* Of two members of one path neither counts; documents are kept in memory, so that is not left for the end. */
static int32_t check(const ims_archive_members *t, const ims_archive_member *m, size_t names, ims_error *err) {
  unsigned long long limit = t->core->limits.max_manifest_bytes;
  if (t->count >= MAX_MEMBERS)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %d members", MAX_MEMBERS);
  if (names > MAX_NAMES - t->names_size)
    return ims_fail(err, IMGSTORE_ELIMIT, "paths of members of more than %d bytes", MAX_NAMES);
  if (m->kind != IMS_ARCHIVE_DOCUMENT)
    return IMGSTORE_OK;
  for (size_t i = 0; i < t->count; i++)
    if (strcmp(t->items[i].path, m->path) == 0)
      return ims_fail(err, IMGSTORE_EFORMAT, "member \"%.256s\": is there twice", m->path);
  if (m->size > limit)
    return ims_fail(err, IMGSTORE_ELIMIT, "member \"%s\": has %llu bytes, at most %llu are read", m->path,
                    (unsigned long long)m->size, limit);
  return IMGSTORE_OK;
}

/* Takes over what m points to, also on failure. */
static int32_t append(ims_archive_members *t, const ims_archive_member *m, ims_error *err) {
  const ims_alloc *alloc = &t->core->alloc;
  size_t names = strlen(m->path) + (m->text ? strlen(m->text) : 0);
  int32_t rc = check(t, m, names, err);
  if (!rc && t->count == t->capacity) {
    size_t capacity = t->capacity ? t->capacity * 2 : 32;
    ims_archive_member *items = ims_realloc_array(alloc, t->items, capacity, sizeof *items);
    if (items) {
      t->items = items;
      t->capacity = capacity;
    } else {
      rc = ims_fail_nomem(err);
    }
  }
  if (rc) {
    ims_free(alloc, m->path);
    ims_free(alloc, m->text);
    return rc;
  }
  t->names_size += names;
  t->items[t->count++] = *m;
  return IMGSTORE_OK;
}

static int32_t set_link(const ims_archive_members *t, const ims_tar_entry *e, ims_archive_member *m, ims_error *err) {
  m->kind = IMS_ARCHIVE_LINK;
  m->size = 0;
  m->text = ims_malloc(&t->core->alloc, strlen(m->path) + strlen(e->linkpath) + 2);
  return m->text ? ims_archive_link_path(m->path, e->linkpath, e->type == IMS_TAR_SYMLINK, m->text, err)
                 : ims_fail_nomem(err);
}

static int32_t describe(const ims_archive_members *t, const ims_tar_entry *e, ims_archive_member *m, ims_error *err) {
  int32_t rc = ims_archive_clean_path(e->path, m->path, err);
  if (rc)
    return rc;
  if (e->type == IMS_TAR_CHAR || e->type == IMS_TAR_BLOCK || e->type == IMS_TAR_FIFO)
    return ims_fail(err, IMGSTORE_EFORMAT, "member \"%.256s\": is %s", m->path,
                    e->type == IMS_TAR_FIFO ? "a pipe" : "a device");
  if (e->segments)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "member \"%.256s\": is sparse", m->path);
  if (e->type == IMS_TAR_HARDLINK || e->type == IMS_TAR_SYMLINK)
    return set_link(t, e, m, err);
  m->kind = ims_archive_path_is_document(m->path) ? IMS_ARCHIVE_DOCUMENT
            : ims_archive_path_is_legacy(m->path) ? IMS_ARCHIVE_SKIPPED
                                                  : IMS_ARCHIVE_FILE;
  return IMGSTORE_OK;
}

int32_t ims_archive_members_add(ims_archive_members *t, const ims_tar_entry *e, ims_archive_member **member,
                                ims_error *err) {
  const ims_alloc *alloc = &t->core->alloc;
  ims_archive_member m = {.size = e->size, .path = ims_malloc(alloc, strlen(e->path) + 1)};
  *member = NULL;
  int32_t rc = m.path ? describe(t, e, &m, err) : ims_fail_nomem(err);
  if (rc || e->type == IMS_TAR_DIRECTORY) {
    ims_free(alloc, m.path);
    ims_free(alloc, m.text);
    return rc;
  }
  rc = append(t, &m, err);
  if (!rc)
    *member = &t->items[t->count - 1];
  return rc;
}

static int by_path(const void *a, const void *b) {
  return strcmp(((const ims_archive_member *)a)->path, ((const ims_archive_member *)b)->path);
}

/* Which of two members of one path counts is not the same for all readers. */
int32_t ims_archive_members_sort(ims_archive_members *t, ims_error *err) {
  if (t->count)
    qsort(t->items, t->count, sizeof *t->items, by_path);
  for (size_t i = 1; i < t->count; i++)
    if (strcmp(t->items[i - 1].path, t->items[i].path) == 0)
      return ims_fail(err, IMGSTORE_EFORMAT, "member \"%.256s\": is there twice", t->items[i].path);
  return IMGSTORE_OK;
}

ims_archive_member *ims_archive_members_find(const ims_archive_members *t, const char *path) {
  for (int i = 0; i <= MAX_LINKS && t->count; i++) {
    const ims_archive_member key = {.path = (char *)path};
    ims_archive_member *m = bsearch(&key, t->items, t->count, sizeof *m, by_path);
    if (!m || m->kind != IMS_ARCHIVE_LINK)
      return m;
    path = m->text;
  }
  return NULL;
}
