/*
 * engine/layers_job.h (L4) - the jobs on a rootfs directory's layers as a whole: apply an image's, count, collect.
 */
#ifndef IMS_ENGINE_LAYERS_JOB_H
#define IMS_ENGINE_LAYERS_JOB_H

#include "engine/image.h"
#include "engine/operation.h"
#include "rootfs/dir_state.h"

/** options: complete. */
int32_t ims_layers_apply_start(imgstore_operation **op, ims_rootfs_dir *dir, imgstore_image *image,
                               const imgstore_layers_options *options, ims_error *err);
/** See imgstore_rootfs_dir_prune and imgstore_rootfs_dir_usage. */
int32_t ims_layers_prune(ims_rootfs_dir *dir, imgstore_report *report, ims_error *err);
int32_t ims_layers_usage(ims_rootfs_dir *dir, imgstore_report *report, ims_error *err);

#endif
