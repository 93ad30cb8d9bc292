/*
 * api/layers_options.h (L5) - checking and copying the options that several jobs take: how to unpack, how to apply
 * layers.
 */
#ifndef IMS_API_LAYERS_OPTIONS_H
#define IMS_API_LAYERS_OPTIONS_H

#include "base/error.h"
#include "imgstore/rootfs_dir.h"

/** given NULL: the defaults. */
int32_t ims_unpack_options_copy(imgstore_unpack_options *own, const imgstore_unpack_options *given, ims_error *err);
/** own->unpack becomes unpack, into which the given ones are copied. */
int32_t ims_layers_options_copy(imgstore_layers_options *own, imgstore_unpack_options *unpack,
                                const imgstore_layers_options *given, ims_error *err);

#endif
