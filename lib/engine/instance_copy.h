/*
 * engine/instance_copy.h (L4) - an instance's files as a plain copy: its image unpacked into copy/ of the instance. A
 * step of the job that mounts.
 */
#ifndef IMS_ENGINE_INSTANCE_COPY_H
#define IMS_ENGINE_INSTANCE_COPY_H

#include "engine/operation.h"
#include "rootfs/instance.h"

typedef struct ims_instance_copy ims_instance_copy;

/** What is in a copy is nowhere else. */
bool ims_instance_has_copy(const ims_instance *instance);
/** Begins one, under the instance's lock. path: of the instance's directory. What an interrupted one left goes. */
int32_t ims_instance_copy_new(ims_instance_copy **copy, imgstore_operation *op, const ims_instance *instance,
                              const char *path, ims_error *err);
/** Driver's turn. IMGSTORE_OK: it is there; IMGSTORE_EAGAIN; or the failure in op->err. */
int32_t ims_instance_copy_advance(ims_instance_copy *copy, int64_t now);
/** One that is not there yet is taken away. NULL is accepted. */
void ims_instance_copy_free(ims_instance_copy *copy);

#endif
