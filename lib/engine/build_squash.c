/*
 * engine/build_squash.c (L4) - layers squashed into one as a source of a layer, and what all sources share.
 */
#include "engine/build_layer.h"
#include "engine/squash.h"

void ims_layer_source_free(ims_layer_source *source) {
  if (source)
    source->type->free(source);
}

typedef struct squash_source {
  ims_layer_source base; /**< first member */
  const ims_alloc *alloc;
  ims_squash *squash;
} squash_source;

static int32_t put(void *data, const void *bytes, size_t size, ims_error *err) {
  return ims_layer_writer_put(data, bytes, size, err);
}

static int32_t step(ims_layer_source *source, ims_layer_writer *writer, ims_error *err) {
  const ims_squash_sink sink = {put, writer};
  return ims_squash_step(((squash_source *)source)->squash, &sink, err);
}

static void free_source(ims_layer_source *source) {
  squash_source *s = (squash_source *)source;
  ims_squash_free(s->squash);
  ims_free(s->alloc, s);
}

static const ims_layer_source_type squash_source_type = {step, NULL, free_source};

int32_t ims_squash_source_new(ims_layer_source **source, const ims_layer_setup *setup, const ims_build_layer *layers,
                              size_t count, size_t from, ims_error *err) {
  const ims_alloc *alloc = &setup->store->core->alloc;
  *source = NULL;
  squash_source *s = ims_calloc(alloc, 1, sizeof *s);
  if (!s)
    return ims_fail_nomem(err);
  s->base.type = &squash_source_type;
  s->alloc = alloc;
  int32_t rc = ims_squash_new(&s->squash, setup->store, layers, count, from, setup->clamp, setup->clamp_time, err);
  if (rc) {
    free_source(&s->base);
    return rc;
  }
  *source = &s->base;
  return IMGSTORE_OK;
}
