/*
 * engine/load.h (L4) - what loading from directories and from archives shares: the names that images get.
 */
#ifndef IMS_ENGINE_LOAD_H
#define IMS_ENGINE_LOAD_H

#include "engine/bring.h"

typedef struct ims_loading {
  bring *b;
  const char *source; /**< what is loaded, for messages */
  const char *base;   /**< what an image is called that has no name of its own; NULL: it must have one */
  size_t base_size;
  const char *name; /**< as in imgstore_load_options */
  const char *rename;
} ims_loading;

/** Sets base to the last component of a path, without the endings that archives have when archive is set. */
void ims_loading_base(ims_loading *l, const char *path, bool archive);
/** Adds a root, unless another name was asked for. name: as the source has it, "" when it has none. */
int32_t ims_loading_add(ims_loading *l, const char *name, const ims_target *target);
/** All roots were added: there must be one, and only one to rename. */
int32_t ims_loading_check(const ims_loading *l);

/** engine/load_archive.c; path NULL: options->fd. */
int32_t ims_load_archive_start(imgstore_operation **op, imgstore_store *store, const char *path,
                               const imgstore_load_options *options, ims_error *err);

#endif
