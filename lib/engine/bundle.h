/*
 * engine/bundle.h (L4) - an OCI runtime bundle made of an image's config and a root directory.
 * Source: runtime-spec 1.0.2; image-spec 1.1, conversion.
 */
#ifndef IMS_ENGINE_BUNDLE_H
#define IMS_ENGINE_BUNDLE_H

#include "engine/bundle_user.h"
#include "engine/image.h"
#include "imgstore/rootfs.h"

/** What a bundle is made of. Everything is borrowed. */
typedef struct ims_bundle {
  ims_core *core;
  const ims_config *config;
  const imgstore_bundle_options *options; /**< complete */
  const char *name;                       /**< of the instance */
  int root;                               /**< its root directory, as mounted */
  const char *root_path;                  /**< absolute */
  bool read_only;                         /**< nothing can be made in the root directory */
  const imgstore_id_map *uid_map, *gid_map;
  size_t uid_map_count, gid_map_count;
} ims_bundle;

/** Finds the image, the root directory and the maps of an instance, and writes its bundle. options: complete. */
int32_t ims_rootfs_bundle(imgstore_rootfs *rootfs, const char *directory, const imgstore_bundle_options *options,
                          ims_error *err);
/** Writes directory/config.json and directory/volumes. */
int32_t ims_bundle_write(const ims_bundle *bundle, const char *directory, ims_error *err);

/** A volume of the image and the directory of the bundle that is mounted over it. */
typedef struct ims_volume {
  const char *path; /**< in the container, absolute */
  char *source;     /**< on the host, absolute */
} ims_volume;

/** What was found out before the config is written. */
typedef struct ims_bundle_facts {
  ims_user user;
  const char *cwd;
  ims_volume *volumes;
  size_t volume_count;
} ims_bundle_facts;

/** Writes the text of config.json. IMGSTORE_EINVALID (nothing to run, an argument). */
int32_t ims_bundle_config(const ims_bundle *bundle, const ims_bundle_facts *facts, ims_buf *out, ims_error *err);
/** True when a map covers id; a map without lines covers all. */
bool ims_bundle_maps(const imgstore_id_map *map, size_t count, uint32_t id);

#endif
