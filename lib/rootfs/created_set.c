/*
 * rootfs/created_set.c (L3) - the set of created names. A table that is full is written out as it is and looked up
 * there slot by slot, so that neither sorting nor an index is needed.
 */
#include "rootfs/created_set.h"

#include <errno.h>
#include <string.h>

#include "rootfs/unnamed_file.h"

enum { FIRST_SLOTS = 1024, PROBE = 64 };

void ims_created_init(ims_created_set *set, const ims_alloc *alloc, const ims_sys *sys, int dir, size_t ceiling) {
  memset(set, 0, sizeof *set);
  set->alloc = alloc;
  set->sys = sys;
  set->dir = dir;
  set->ceiling = ceiling;
  set->spill = -1;
}

void ims_created_free(ims_created_set *set) {
  if (!set->alloc)
    return;
  ims_free(set->alloc, set->slots);
  set->slots = NULL;
  set->capacity = 0;
  if (set->spill >= 0)
    set->sys->close(set->spill);
  set->spill = -1;
}

void ims_created_clear(ims_created_set *set) {
  if (set->slots && set->count)
    memset(set->slots, 0, set->capacity * sizeof *set->slots);
  set->count = 0;
  set->tables = 0;
}

static bool insert(uint64_t *slots, size_t capacity, uint64_t hash) {
  size_t i = (size_t)hash & (capacity - 1);
  for (; slots[i]; i = (i + 1) & (capacity - 1))
    if (slots[i] == hash)
      return false;
  slots[i] = hash;
  return true;
}

static int32_t grow(ims_created_set *set, ims_error *err) {
  size_t first = FIRST_SLOTS < set->ceiling ? FIRST_SLOTS : set->ceiling;
  size_t capacity = set->capacity ? set->capacity * 2 : first;
  uint64_t *slots = ims_calloc(set->alloc, capacity, sizeof *slots);
  if (!slots)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < set->capacity; i++)
    if (set->slots[i])
      insert(slots, capacity, set->slots[i]);
  ims_free(set->alloc, set->slots);
  set->slots = slots;
  set->capacity = capacity;
  return IMGSTORE_OK;
}

static int32_t write_out(ims_created_set *set, ims_error *err) {
  if (set->spill < 0)
    set->spill = ims_unnamed_file(set->sys, set->dir, 0600);
  if (set->spill < 0)
    return ims_fail_os(err, errno, "cannot make a temporary file in the target directory");
  size_t table = set->ceiling * sizeof *set->slots;
  for (size_t done = 0; done < table;) {
    off_t at = (off_t)(set->tables * table + done);
    ssize_t wrote = set->sys->pwrite(set->spill, (const char *)set->slots + done, table - done, at);
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote <= 0)
      return ims_fail_os(err, wrote < 0 ? errno : EIO, "cannot write a temporary file in the target directory");
    done += (size_t)wrote;
  }
  set->tables++;
  memset(set->slots, 0, table);
  set->count = 0;
  return IMGSTORE_OK;
}

int32_t ims_created_add(ims_created_set *set, uint64_t hash, ims_error *err) {
  if (set->count >= set->capacity / 4 * 3) {
    int32_t rc = set->capacity < set->ceiling ? grow(set, err) : write_out(set, err);
    if (rc)
      return rc;
  }
  if (insert(set->slots, set->capacity, hash))
    set->count++;
  return IMGSTORE_OK;
}

/* Reads slots [first, first + count) of a table that was written out. */
static int32_t read_slots(ims_created_set *set, size_t table, size_t first, uint64_t *slots, size_t count,
                          ims_error *err) {
  size_t size = count * sizeof *slots, done = 0;
  while (done < size) {
    off_t at = (off_t)((table * set->ceiling + first) * sizeof *slots + done);
    ssize_t got = set->sys->pread(set->spill, (char *)slots + done, size - done, at);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return ims_fail_os(err, got < 0 ? errno : EIO, "cannot read a temporary file in the target directory");
    done += (size_t)got;
  }
  return IMGSTORE_OK;
}

static int32_t table_has(ims_created_set *set, size_t table, uint64_t hash, bool *has, ims_error *err) {
  uint64_t slots[PROBE];
  size_t first = ((size_t)hash & (set->ceiling - 1)), at = first;
  for (;;) {
    size_t count = set->ceiling - at < PROBE ? set->ceiling - at : PROBE;
    int32_t rc = read_slots(set, table, at, slots, count, err);
    if (rc)
      return rc;
    for (size_t i = 0; i < count; i++) {
      if (slots[i] == hash)
        *has = true;
      if (slots[i] == hash || !slots[i])
        return IMGSTORE_OK;
    }
    at = (at + count) & (set->ceiling - 1);
  }
}

int32_t ims_created_has(ims_created_set *set, uint64_t hash, bool *has, ims_error *err) {
  *has = false;
  for (size_t i = set->capacity ? (size_t)hash & (set->capacity - 1) : 0; set->capacity && set->slots[i];
       i = (i + 1) & (set->capacity - 1))
    if (set->slots[i] == hash) {
      *has = true;
      return IMGSTORE_OK;
    }
  for (size_t table = set->tables; table-- > 0 && !*has;) {
    int32_t rc = table_has(set, table, hash, has, err);
    if (rc)
      return rc;
  }
  return IMGSTORE_OK;
}
