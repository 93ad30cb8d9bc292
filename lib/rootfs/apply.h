/*
 * rootfs/apply.h (L3) - applies layers, one after the other, to a directory. Push style: fed with uncompressed bytes
 * on any one thread at a time, it parses and creates files at once.
 *
 * All path work is relative to the root's descriptor and cannot leave it (BEHAVIOUR, "Applying layers").
 */
#ifndef IMS_ROOTFS_APPLY_H
#define IMS_ROOTFS_APPLY_H

#include "base/core.h"
#include "base/error.h"
#include "base/report.h"
#include "imgstore/unpack.h"
#include "rootfs/layer_dir.h"
#include "rootfs/lower_view.h"
#include "rootfs/tree.h"

typedef struct ims_apply ims_apply;

/**
 * Prepares to apply layers to the directory root_fd (kept by the caller, must stay open). options: complete; id maps
 * are copied. report: where policy lines go; used only inside feed/end_layer/finish.
 */
int32_t ims_apply_new(ims_apply **apply, ims_core *core, int root_fd, const imgstore_unpack_options *options,
                      imgstore_report *report, ims_error *err);
/** How one layer is applied to a directory of its own (overlay.h). */
typedef struct ims_layer_setup {
  const char *opaque_name;    /**< the attribute for opaque directories; borrowed. NULL: the first layer, plain */
  const ims_lower_view *view; /**< the layers below, or NULL: given to ims_apply_settle; borrowed */
  ims_quota *quota;           /**< or NULL; borrowed */
} ims_layer_setup;

/** Prepares to apply one layer, not the first of its image unless opaque_name is NULL, to an empty directory. */
int32_t ims_apply_new_layer(ims_apply **apply, ims_core *core, int root_fd, const imgstore_unpack_options *options,
                            imgstore_report *report, const ims_layer_setup *setup, ims_error *err);
/**
 * After IMGSTORE_EAGAIN, which comes without a message: what the layer means depends on the layers below. Everything
 * made is worth nothing: the directory has to be emptied and the layer applied with them in view.
 */
bool ims_apply_is_unsure(const ims_apply *apply);
/** After end_layer of a layer that was applied without the layers below: they are complete now. IMGSTORE_EAGAIN: as
 * above. */
int32_t ims_apply_settle(ims_apply *apply, const ims_lower_view *view, ims_error *err);
/** What the layer is, for its record: bytes, inodes, opaque, default_acls, any_attributes, attributes. */
int32_t ims_apply_describe(const ims_apply *apply, ims_layer_record *record, ims_error *err);
void ims_apply_free(ims_apply *apply);
/** Begins a layer, base first. */
int32_t ims_apply_begin_layer(ims_apply *apply, ims_error *err);
/** Takes all of data. Errors name the path in the layer. After an error only free is allowed. */
int32_t ims_apply_feed(ims_apply *apply, const uint8_t *data, size_t size, ims_error *err);
/** The layer's bytes have ended. */
int32_t ims_apply_end_layer(ims_apply *apply, ims_error *err);
/** After the last layer: directory times, and with IMGSTORE_UNPACK_FLUSH everything to stable storage. */
int32_t ims_apply_finish(ims_apply *apply, ims_error *err);

/** Removes everything below dir_fd (not dir_fd itself), never following links or crossing file systems. */
int32_t ims_tree_remove(ims_core *core, int dir_fd, ims_error *err);
/** The same for at most *budget objects (NULL: any number), which are taken off it. IMGSTORE_EAGAIN, without a message:
 * there are more. */
int32_t ims_tree_remove_some(ims_core *core, int dir_fd, size_t *budget, ims_error *err);

#endif
