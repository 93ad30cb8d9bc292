/*
 * instance_fixture.h - what the tests of instances share: a store with one image, a rootfs directory with its layer
 * made by hand, and a table of system calls that count and fail as fixture_fault_now says.
 */
#ifndef INSTANCE_FIXTURE_H
#define INSTANCE_FIXTURE_H

#include "rootfs/instance.h"
#include "store_fixture.h"

#define WORLD_LAYER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-t"
#define WORLD_IMAGE "docker.io/library/x:1"

typedef struct world {
  char *path;
  ims_core *core;
  imgstore_store *store;
  ims_rootfs_dir *dir;
  fixture_image image;
  int top;
} world;

/** What a world is opened with: a test may replace calls of it, after world_begin. */
extern ims_sys instance_calls;

void world_begin(world *w);
void world_end(world *w);
/** The store and the directory again, on what world_begin made. */
void world_open(world *w, const ims_alloc *alloc);
void world_close(world *w);
int32_t world_record(world *w, ims_instance_record *record, bool read_only);
int32_t world_create(world *w, const char *name, ims_error *err);
/** Instances; 100 for each that cannot be read. */
int world_count(world *w);
/** References that hold an image. */
int world_holds(world *w);

#endif
