/*
 * rootfs/link_table.c (L3) - a hash table from (device, inode) to a path.
 */
#include "rootfs/link_table.h"

#include <string.h>

enum { BUCKETS_FIRST = 64, BYTES_MAX = 256 << 20 };

struct ims_link {
  ims_link *next;
  dev_t dev;
  ino_t ino;
  char path[];
};

int32_t ims_links_init(ims_link_table *t, const ims_alloc *alloc, ims_error *err) {
  memset(t, 0, sizeof *t);
  t->alloc = alloc;
  return ims_hash_key_draw(&t->key, err);
}

void ims_links_free(ims_link_table *t) {
  for (size_t i = 0; i < t->bucket_count; i++)
    while (t->buckets[i]) {
      ims_link *link = t->buckets[i];
      t->buckets[i] = link->next;
      ims_free(t->alloc, link);
    }
  if (t->alloc)
    ims_free(t->alloc, t->buckets);
  memset(t, 0, sizeof *t);
}

static ims_link **bucket_of(const ims_link_table *t, dev_t dev, ino_t ino) {
  return &t->buckets[ims_name_hash(&t->key, dev, ino, "") & (t->bucket_count - 1)];
}

static int32_t grow(ims_link_table *t, ims_error *err) {
  if (t->count < t->bucket_count)
    return IMGSTORE_OK;
  ims_link_table larger = *t;
  larger.bucket_count = t->bucket_count ? t->bucket_count * 2 : BUCKETS_FIRST;
  larger.buckets = ims_calloc(t->alloc, larger.bucket_count, sizeof *larger.buckets);
  if (!larger.buckets)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < t->bucket_count; i++)
    while (t->buckets[i]) {
      ims_link *link = t->buckets[i], **to = bucket_of(&larger, link->dev, link->ino);
      t->buckets[i] = link->next;
      link->next = *to;
      *to = link;
    }
  ims_free(t->alloc, t->buckets);
  *t = larger;
  return IMGSTORE_OK;
}

static int32_t add(ims_link_table *t, const struct stat *st, const char *path, ims_error *err) {
  size_t size = strlen(path) + 1;
  if (size > BYTES_MAX - t->bytes)
    return ims_fail(err, IMGSTORE_ELIMIT, "too many files of several names");
  int32_t rc = grow(t, err);
  ims_link *link = rc ? NULL : ims_malloc(t->alloc, sizeof *link + size);
  if (!link)
    return rc ? rc : ims_fail_nomem(err);
  ims_link **bucket = bucket_of(t, st->st_dev, st->st_ino);
  *link = (ims_link){.next = *bucket, .dev = st->st_dev, .ino = st->st_ino};
  memcpy(link->path, path, size);
  *bucket = link;
  t->count++;
  t->bytes += size;
  return IMGSTORE_OK;
}

int32_t ims_links_meet(ims_link_table *t, const struct stat *st, const char *path, const char **first, ims_error *err) {
  ims_link *link = NULL;
  *first = NULL;
  if (t->bucket_count)
    for (link = *bucket_of(t, st->st_dev, st->st_ino); link; link = link->next)
      if (link->dev == st->st_dev && link->ino == st->st_ino)
        break;
  if (!link)
    return add(t, st, path, err);
  *first = link->path;
  return IMGSTORE_OK;
}
