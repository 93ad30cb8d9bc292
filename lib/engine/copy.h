/*
 * engine/copy.h (L4) - copies between places: what a name of a place stands for, and which job does the work.
 */
#ifndef IMS_ENGINE_COPY_H
#define IMS_ENGINE_COPY_H

#include "engine/operation.h"
#include "imgstore/publish.h"
#include "store/store.h"

typedef struct ims_copy_setup {
  const imgstore_place *source, *destination;
  const imgstore_copy_options *options; /**< complete */
  bool skip_same;                       /**< nothing is to be done when the destination has that digest by that name */
} ims_copy_setup;

/** Strings and handles are borrowed during the call. */
int32_t ims_copy_start(imgstore_operation **op, const ims_copy_setup *setup, ims_error *err);
/**
 * What a place in a store names: *name is what the store calls it. name may be NULL (the only image), or the tag of one
 * image. Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EAMBIGUOUS.
 */
int32_t ims_place_resolve(imgstore_store *store, const char *name, ims_target *target, ims_buf *ref_name,
                          ims_error *err);

/** archive_copy.c: the same from an archive. */
int32_t ims_archive_copy_start(imgstore_operation **op, const ims_copy_setup *setup, ims_error *err);
/** sync.c: copies the tags of the source's repository; options: complete. */
int32_t ims_sync_start(imgstore_operation **op, const imgstore_place *source, const imgstore_place *destination,
                       const imgstore_sync_options *options, ims_error *err);

#endif
