/*
 * engine/bring_layers.c (L4) - applying the layers of what is pulled to layer directories, in the same pass.
 */
#include "engine/bring.h"
#include "engine/layers.h"

static ims_transfer *find_source(void *data, const imgstore_descriptor *layer) {
  return bring_find_transfer(data, &layer->digest);
}

int32_t bring_layers_setup(bring *b, ims_rootfs_dir *dir, const imgstore_layers_options *options) {
  if (dir->store != b->store)
    return ims_fail(&b->op.err, IMGSTORE_EINVALID, "rootfs directory %s: is of another store", dir->path);
  int32_t rc = ims_rootfs_dir_writable(dir, &b->op.err);
  if (!rc)
    rc = ims_layers_new(&b->layers, &b->op, dir, options, &b->op.err);
  if (!rc)
    ims_layers_set_source(b->layers, find_source, b);
  return rc;
}

int32_t bring_layers_advance(bring *b, int64_t now) {
  if (!b->layers)
    return IMGSTORE_OK;
  if (!ims_layers_is_begun(b->layers)) {
    const bring_node *chosen = bring_chosen(b, b->roots[0].top);
    if (!chosen || !chosen->config)
      return IMGSTORE_EAGAIN;
    int32_t rc = ims_layers_begin(b->layers, chosen->manifest, chosen->config);
    if (rc)
      return rc;
  }
  return ims_layers_advance(b->layers, now);
}

bool bring_layers_hold(const bring *b, const ims_transfer *t) {
  return b->layers && !ims_layers_is_begun(b->layers) && t->object == IMGSTORE_OBJECT_LAYER && !b->graph_done;
}

int32_t bring_layers_start(bring *b, ims_transfer *t, int64_t now) {
  int32_t failed = IMGSTORE_OK;
  if (b->layers)
    ims_layers_follow(b->layers, t, &failed);
  return failed ? failed : ims_transfer_start(t, now);
}

bool bring_layers_takes(const bring *b, const ims_transfer *t) {
  return b->layers && ims_layers_applies(b->layers, &t->digest);
}
