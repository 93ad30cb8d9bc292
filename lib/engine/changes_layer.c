/*
 * engine/changes_layer.c (L4) - makes the layer of an instance's changes anew each time it is read. Nothing but a piece
 * of it is held.
 */
#include "engine/changes_layer.h"

#include <string.h>

#include "engine/content.h"
#include "engine/instance_changes.h"
#include "hash/hash.h"
#include "rootfs/diff.h"

enum { BUDGET = 64 << 10, PIECE_MAX = 64 << 20 /* more than one step of the diff makes */ };

struct ims_changes_layer {
  imgstore_rootfs *rootfs;
  ims_own_layer own;
  bool known; /**< it was read once */
  uint8_t digest[IMS_HASH_MAX_SIZE];
};

/** One reading. */
typedef struct reading {
  ims_changes_layer *layer;
  ims_lower_stack lowers;
  ims_diff *diff;
  ims_buf piece;
  size_t at;
  ims_hash hash;
  bool ended;
} reading;

static int32_t take(void *data, const void *bytes, size_t size, ims_error *err) {
  reading *r = data;
  ims_hash_update(&r->hash, bytes, size);
  return ims_buf_append(&r->piece, bytes, size) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static int32_t end_reading(reading *r, ims_error *err) {
  uint8_t digest[IMS_HASH_MAX_SIZE] = {0};
  ims_changes_layer *l = r->layer;
  ims_hash_final(&r->hash, digest);
  r->ended = true;
  if (l->known && memcmp(digest, l->digest, sizeof digest) != 0)
    return ims_fail(err, IMGSTORE_ECONFLICT, "rootfs %s: it changed while it was read", l->rootfs->instance.name);
  memcpy(l->digest, digest, sizeof digest);
  l->known = true;
  return IMGSTORE_OK;
}

static int32_t read_piece(void *data, void *buffer, size_t size, size_t *got, ims_error *err) {
  reading *r = data;
  *got = 0;
  while (r->at == r->piece.size && !r->ended) {
    ims_buf_clear(&r->piece);
    r->at = 0;
    int32_t rc = ims_diff_run(r->diff, BUDGET, take, r, err);
    if (rc == IMGSTORE_OK)
      rc = end_reading(r, err);
    if (rc && rc != IMGSTORE_EAGAIN)
      return rc;
  }
  *got = r->piece.size - r->at < size ? r->piece.size - r->at : size;
  if (*got)
    memcpy(buffer, r->piece.data + r->at, *got);
  r->at += *got;
  return IMGSTORE_OK;
}

static void close_reading(void *data) {
  reading *r = data;
  const ims_alloc *alloc = &r->layer->rootfs->core->alloc;
  ims_diff_free(r->diff);
  ims_lowers_free(&r->lowers);
  ims_buf_free(&r->piece);
  ims_free(alloc, r);
}

static int32_t begin(reading *r, ims_error *err) {
  const imgstore_rootfs *rootfs = r->layer->rootfs;
  const ims_own_layer *own = &r->layer->own;
  int32_t rc = own->marks ? IMGSTORE_OK : ims_instance_lowers(&r->lowers, rootfs, err);
  const ims_diff_options options = {.marks = own->marks,
                                    .rules = {.uid_map = own->uid_map,
                                              .gid_map = own->gid_map,
                                              .uid_map_count = own->uid_map_count,
                                              .gid_map_count = own->gid_map_count,
                                              .recorded_owners = own->recorded_owners},
                                    .lowers = own->marks ? NULL : &r->lowers,
                                    .always_root = true};
  return rc ? rc : ims_diff_new(&r->diff, rootfs->core, own->fd, &options, NULL, err);
}

static int32_t open_reading(void *data, imgstore_files **files, ims_error *err) {
  ims_changes_layer *l = data;
  ims_core *core = l->rootfs->core;
  *files = NULL;
  reading *r = ims_calloc(&core->alloc, 1, sizeof *r);
  if (!r)
    return ims_fail_nomem(err);
  r->layer = l;
  ims_buf_init(&r->piece, &core->alloc, PIECE_MAX);
  ims_hash_init(&r->hash, IMS_HASH_SHA256);
  int32_t rc = begin(r, err);
  if (rc) {
    close_reading(r);
    return rc;
  }
  return ims_files_open_reader(files, core, &(ims_files_reader){read_piece, close_reading, r}, err);
}

int32_t ims_changes_layer_new(ims_changes_layer **changes, imgstore_rootfs *rootfs, ims_build_layer *layer,
                              ims_error *err) {
  *changes = NULL;
  ims_changes_layer *l = ims_calloc(&rootfs->core->alloc, 1, sizeof *l);
  if (!l)
    return ims_fail_nomem(err);
  l->rootfs = ims_rootfs_ref(rootfs);
  int32_t rc = ims_own_layer_open(&l->own, rootfs, err);
  if (rc) {
    ims_changes_layer_free(l);
    return rc;
  }
  *layer = (ims_build_layer){.open = open_reading, .open_data = l};
  *changes = l;
  return IMGSTORE_OK;
}

void ims_changes_layer_free(ims_changes_layer *l) {
  if (!l)
    return;
  ims_core *core = ims_core_ref(l->rootfs->core);
  if (l->own.fd >= 0)
    core->sys->close(l->own.fd);
  ims_rootfs_unref(l->rootfs);
  ims_free(&core->alloc, l);
  ims_core_unref(core);
}
