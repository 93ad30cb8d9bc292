/*
 * store_fixture.h - what the tests of the store share: contexts, scratch directories, images, a table of system calls
 * and an allocator that fail on demand.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "base/core.h"
#include "store/store.h"

/* --- faults --- */

/** Which call fails: the at-th (from 0) counted one, and with forever also all later ones. */
typedef struct fixture_fault {
  long at; /**< -1: none */
  long seen;
  int os_errno;
  bool forever;
  bool writes_only; /**< counts only calls that may need space */
} fixture_fault;

/** Counts calls of fixture_sys; not for several threads. */
extern fixture_fault fixture_fault_now;
extern const ims_sys fixture_sys;

typedef struct fixture_memory {
  long at, seen, live;
} fixture_memory;
ims_alloc fixture_allocator(fixture_memory *memory);

/* --- contexts and folders --- */

/** sys, alloc NULL: the defaults. */
ims_core *fixture_core(const ims_sys *sys, const ims_alloc *alloc);
/** A new empty directory, removed by fixture_remove. */
char *fixture_directory(void);
void fixture_remove(char *path);
/** path/name, in a ring of a few static buffers. */
const char *fixture_path(const char *path, const char *name);
void fixture_write(const char *path, const char *name, const void *data, size_t size);
/** The content of a file, NUL-terminated, to be freed; NULL when there is none. */
char *fixture_read(const char *path, const char *name, size_t *size);
bool fixture_exists(const char *path, const char *name);

int32_t fixture_open(ims_core *core, const char *path, uint32_t flags, int32_t durability, imgstore_store **store,
                     ims_error *err);

/* --- images --- */

/** An image of two layers: "base" is shared by all, the other is made of name. */
typedef struct fixture_image {
  ims_target target;
  ims_digest config, base, layer;
  char manifest[2048];
} fixture_image;

void fixture_image_init(fixture_image *image, const char *name);
/** Stores blobs, in order, and the barrier; not the reference. */
int32_t fixture_image_put(imgstore_store *store, const fixture_image *image, const char *name, ims_error *err);
/** All of it is there and hashes right; read through a store that remembers nothing. */
bool fixture_image_whole(imgstore_store *store, const char *name);

/** Puts a blob whose digest is known at its end only. */
int32_t fixture_put_made(imgstore_store *store, ims_error *err);

#endif
