/*
 * engine/layer_apply.h (L4) - one layer of an image, from its stream to a complete layer directory in the staging
 * directory of its job. Knows neither the other layers of the job nor whose turn it is.
 */
#ifndef IMS_ENGINE_LAYER_APPLY_H
#define IMS_ENGINE_LAYER_APPLY_H

#include "engine/layer_pipe.h"
#include "oci/config.h"
#include "oci/manifest.h"
#include "rootfs/apply.h"
#include "rootfs/layer_dir.h"

enum { IMS_LAYER_PREFIX = 32 };

/** What the layers of one job have in common. */
typedef struct ims_layer_place {
  imgstore_operation *op;
  ims_rootfs_dir *dir;
  const ims_layer_form *form;
  ims_quota *quota;
  int staging; /**< the directory that they are made in */
} ims_layer_place;

typedef struct ims_layer_apply {
  const ims_layer_place *place;
  const imgstore_descriptor *descriptor;
  bool again;                    /**< with the layers below in view */
  bool unsure;                   /**< the rest of the stream is not looked at */
  char name[IMS_LAYER_NAME];     /**< what its directory will be called */
  char prefix[IMS_LAYER_PREFIX]; /**< of root/ in the staging directory */
  int root_fd;
  ims_apply *apply;
  ims_lower_view view;
  ims_layer_record record;
  imgstore_report *report;
} ims_layer_apply;

/**
 * Makes its directory and begins to feed it through the pipe. i: which layer of the config it is; below: the layers
 * under it, the uppermost first, which must live as long. stream: as for ims_layer_pipe_begin. A failure is in op->err.
 */
int32_t ims_layer_apply_begin(ims_layer_apply *layer, const ims_config *config, size_t i, ims_lower *below,
                              ims_layer_pipe *pipe, ims_transfer *stream);
/**
 * A pipe's work, when its stream has ended and those below are complete: makes it complete. IMGSTORE_EBUSY, without a
 * message: begin once more, with them in view (again).
 */
int32_t ims_layer_apply_settle(void *layer, ims_error *err);
/** Its pipe is stopped: what is in memory and open of it goes. */
void ims_layer_apply_stop(ims_layer_apply *layer);
void ims_layer_apply_free(ims_layer_apply *layer);

#endif
