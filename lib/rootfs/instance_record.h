/*
 * rootfs/instance_record.h (L3) - what is written down about an instance, as JSON: which image, which layer
 * directories, how. No I/O.
 */
#ifndef IMS_ROOTFS_INSTANCE_RECORD_H
#define IMS_ROOTFS_INSTANCE_RECORD_H

#include "base/buf.h"
#include "base/error.h"
#include "imgstore/unpack.h"
#include "oci/digest.h"

enum { IMS_INSTANCE_NAME_MAX = 128, IMS_INSTANCE_RECORD_MAX = 4 << 20, IMS_INSTANCE_CREATED = 32 };

typedef struct ims_instance_record {
  const ims_alloc *alloc;
  char created[IMS_INSTANCE_CREATED]; /**< RFC 3339, UTC */
  char *image;                        /**< the name it was made from, or "" */
  ims_digest manifest, config;
  bool read_only;
  bool user_xattrs; /**< marks are user.overlay.* */
  bool id_mapped;   /**< the layers have the image's owners; the maps are laid over them when mounting */
  char **layers;    /**< names of layer directories, base first */
  size_t layer_count;
  imgstore_id_map *uid_map, *gid_map;
  size_t uid_map_count, gid_map_count;
} ims_instance_record;

/** A name of 1 to 128 characters: letters, digits, "_", ".", "-", the first a letter or digit. IMGSTORE_EINVALID. */
int32_t ims_instance_check_name(const char *name, ims_error *err);
void ims_instance_record_init(ims_instance_record *record, const ims_alloc *alloc);
void ims_instance_record_free(ims_instance_record *record);
/** ns: nanoseconds since 1970. */
void ims_instance_record_set_created(ims_instance_record *record, int64_t ns);
int32_t ims_instance_record_write(const ims_instance_record *record, ims_buf *out, ims_error *err);
/** record: initialised; to be freed also after a failure. name: of the instance, for messages. IMGSTORE_ECORRUPT. */
int32_t ims_instance_record_read(ims_instance_record *record, const char *text, size_t size, const char *name,
                                 ims_error *err);

#endif
