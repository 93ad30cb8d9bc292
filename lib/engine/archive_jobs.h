/*
 * engine/archive_jobs.h (L4) - the operations of include/imgstore/archive.h.
 */
#ifndef IMS_ENGINE_ARCHIVE_JOBS_H
#define IMS_ENGINE_ARCHIVE_JOBS_H

#include "engine/image.h"
#include "engine/operation.h"
#include "imgstore/archive.h"

/** options: complete (all fields set), strings borrowed during the call. */
int32_t ims_save_start(imgstore_operation **op, imgstore_store *store, const char *const *names, size_t count,
                       const char *path, const imgstore_save_options *options, ims_error *err);
/** The same for a directory. */
int32_t ims_save_dir_start(imgstore_operation **op, imgstore_store *store, const char *const *names, size_t count,
                           const char *path, const imgstore_save_options *options, ims_error *err);

int32_t ims_import_start(imgstore_operation **op, imgstore_store *store, const char *path, const char *name,
                         const imgstore_import_options *options, ims_error *err);

int32_t ims_export_start(imgstore_operation **op, imgstore_image *image, const char *path,
                         const imgstore_export_options *options, ims_error *err);
int32_t ims_rootfs_export_start(imgstore_operation **op, imgstore_rootfs *rootfs, const char *path,
                                const imgstore_export_options *options, ims_error *err);

#endif
