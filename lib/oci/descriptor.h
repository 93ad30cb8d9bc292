/*
 * oci/descriptor.h (L1) - reading a descriptor into memory of the document it is part of.
 */
#ifndef IMS_OCI_DESCRIPTOR_H
#define IMS_OCI_DESCRIPTOR_H

#include "oci/member.h"

/** Errors: IMGSTORE_EFORMAT, IMGSTORE_EUNSUPPORTED, IMGSTORE_EDIGEST (embedded data), IMGSTORE_ENOMEM. */
int32_t ims_descriptor_read(imgstore_descriptor *descriptor, const ims_json_value *object, ims_memory memory,
                            ims_error *err);

#endif
