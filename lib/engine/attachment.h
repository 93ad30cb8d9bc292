/*
 * engine/attachment.h (L4) - an object that is to be attached to an image: files, bytes, annotations.
 */
#ifndef IMS_ENGINE_ATTACHMENT_H
#define IMS_ENGINE_ATTACHMENT_H

#include <stdatomic.h>

#include "base/core.h"
#include "engine/operation.h"
#include "imgstore/attached.h"
#include "oci/manifest.h"

enum { IMS_ATTACHMENT_FILES_MAX = 1000, IMS_ATTACHMENT_ANNOTATIONS_MAX = 1000 };

typedef struct ims_attachment_file {
  imgstore_descriptor descriptor; /**< strings owned; annotations points to title */
  ims_pair title;
  int fd;      /**< or -1: data */
  char *bytes; /**< of data */
  char *path;  /**< for messages */
} ims_attachment_file;

struct imgstore_attachment {
  atomic_uint refs;
  ims_core *core;
  char *artifact_type;
  ims_attachment_file **files;
  size_t count, capacity;
  ims_pair *annotations; /**< strings owned */
  size_t annotation_count, annotation_capacity;
};

int32_t ims_attachment_new(imgstore_attachment **attachment, ims_core *core, const char *artifact_type, ims_error *err);
imgstore_attachment *ims_attachment_ref(imgstore_attachment *attachment);
void ims_attachment_unref(imgstore_attachment *attachment);
int32_t ims_attachment_add_file(imgstore_attachment *attachment, const char *path, const char *media_type,
                                const char *title, ims_error *err);
int32_t ims_attachment_add_bytes(imgstore_attachment *attachment, const void *data, size_t size, const char *media_type,
                                 const char *title, ims_error *err);
int32_t ims_attachment_annotate(imgstore_attachment *attachment, const char *key, const char *value, ims_error *err);
/** Reads content at an offset; *got 0 only past its end. A file that became shorter is IMGSTORE_EDIGEST. */
int32_t ims_attachment_read(const imgstore_attachment *attachment, const ims_attachment_file *file, uint64_t offset,
                            void *buffer, size_t size, size_t *got, ims_error *err);

/** attach_job.c: options: complete. */
int32_t ims_attach_start(imgstore_operation **op, imgstore_registry *registry, const char *reference,
                         imgstore_attachment *attachment, const imgstore_attach_options *options, ims_error *err);

#endif
