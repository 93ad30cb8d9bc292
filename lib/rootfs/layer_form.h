/*
 * rootfs/layer_form.h (L3) - how layers are applied to directories of their own: what of it makes another directory of
 * the same layer.
 */
#ifndef IMS_ROOTFS_LAYER_FORM_H
#define IMS_ROOTFS_LAYER_FORM_H

#include "rootfs/dir_state.h"

enum { IMS_LAYER_SUFFIX = 24 };

typedef struct ims_layer_form {
  const ims_alloc *alloc;
  bool trusted;                   /**< trusted.overlay.*, not user.overlay.* */
  imgstore_unpack_options unpack; /**< policies are never DEFAULT; the maps are copies */
  char suffix[IMS_LAYER_SUFFIX];  /**< of names of layer directories */
  char *text;                     /**< the form in words, for the record */
} ims_layer_form;

/** options: complete, its unpack NULL or complete. */
int32_t ims_layer_form_init(ims_layer_form *form, const ims_rootfs_dir *dir, const imgstore_layers_options *options,
                            ims_error *err);
void ims_layer_form_free(ims_layer_form *form);
/** The name of the attribute that marks an opaque directory. */
const char *ims_layer_form_opaque(const ims_layer_form *form);

#endif
