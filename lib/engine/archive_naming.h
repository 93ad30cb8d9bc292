/*
 * engine/archive_naming.h (L4) - what the documents of an archive that is read where it is say: shared by
 * archive_names.c (names, index.json) and archive_docker.c (manifest.json).
 */
#ifndef IMS_ENGINE_ARCHIVE_NAMING_H
#define IMS_ENGINE_ARCHIVE_NAMING_H

#include "engine/archive_store.h"
#include "oci/config.h"
#include "oci/member.h"

enum { IMS_NAMING_IMAGES = 4096 /**< at most, and as many names and manifests */ };

/** One image of manifest.json. */
typedef struct ims_docker_image {
  const char *config_path;
  const ims_pair *tags, *layers;
  size_t tag_count, layer_count;
  void *arena;
  ims_config *config;
  ims_digest config_digest;
  uint64_t config_size;
  const ims_archive_member **members; /**< of the layers */
  imgstore_descriptor *descriptors;
  size_t described; /**< layers that have one */
} ims_docker_image;

/** A layer that is read to find its digest. */
typedef struct ims_layer_hashing {
  bool ready, running;
  ims_archive_content content;
  ims_hash hash;
  uint64_t done;
  uint8_t *piece;
} ims_layer_hashing;

typedef struct ims_archive_naming {
  ims_archive_store *archive;
  int state;
  imgstore_manifest *index;
  imgstore_manifest **layout; /**< the manifests and indexes that index.json leads to */
  size_t layout_count, layout_capacity;
  size_t parent, child; /**< where to look next: in index (0) or layout[parent - 1] */
  ims_digest_set seen;
  bool docker;
  bool compose;               /**< what the layout lacks is composed, not refused */
  bool give;                  /**< images get the names of manifest.json */
  ims_json *json;             /**< manifest.json */
  const ims_json_value *next; /**< of its images */
  size_t number;
  ims_docker_image *image; /**< that is under way */
  ims_layer_hashing hashing;
  ims_error *err;
} ims_archive_naming;

/* --- archive_names.c --- */

/** Errors: IMGSTORE_EFORMAT (it is not there, or is no file). */
int32_t ims_naming_document(const ims_archive_naming *naming, const char *path, const ims_archive_member **member);
/** Reads all of a blob that has a member. */
int32_t ims_naming_read(const ims_archive_naming *naming, const ims_archive_blob *blob, ims_buf *bytes);
/** Adds a reference; given: the name that the archive has, "" for none. */
int32_t ims_naming_add(const ims_archive_naming *naming, const char *given, const ims_digest *digest, uint64_t size,
                       const char *media_type);

/* --- archive_docker.c --- */

/** IMGSTORE_EAGAIN, or a failure. */
int32_t ims_naming_docker_begin(ims_archive_naming *naming);
/** Goes on with the images of manifest.json. IMGSTORE_OK: all were added; IMGSTORE_EAGAIN. */
int32_t ims_naming_docker_step(ims_archive_naming *naming);
void ims_naming_docker_free(ims_archive_naming *naming);

#endif
