/*
 * engine/save_plan.h (L4) - what an archive of images consists of: its members in order, with everything about them
 * that can be known before the first byte is written.
 */
#ifndef IMS_ENGINE_SAVE_PLAN_H
#define IMS_ENGINE_SAVE_PLAN_H

#include "engine/image.h"
#include "imgstore/archive.h"
#include "store/digest_set.h"
#include "store/store.h"

enum { IMS_MEMBER_FOLDER, IMS_MEMBER_TEXT, IMS_MEMBER_BLOB };

/** One member of the archive. Documents that tell what is in it come first: a reader of a pipe then knows. */
typedef struct ims_save_member {
  int kind; /**< IMS_MEMBER_* */
  char *path;
  char *text; /**< of TEXT */
  uint64_t size;
  ims_digest digest;   /**< of BLOB: where its bytes are */
  ims_digest expected; /**< what the bytes that are written must hash to */
  int32_t format;      /**< of BLOB: IMS_FORMAT_* to undo; then size is not known */
  int32_t object;      /**< IMGSTORE_OBJECT_* */
} ims_save_member;

/** One image or index, and the names it has in the archive. */
typedef struct ims_save_entry {
  ims_target target;
  char **names;
  size_t name_count;
} ims_save_entry;

typedef struct ims_save_plan {
  imgstore_store *store;
  ims_lease *lease;
  bool docker, all_platforms, uncompressed;
  const char *platform_text;
  ims_platform platform;
  ims_save_entry *entries;
  size_t entry_count;
  imgstore_image **images; /**< of manifest.json */
  size_t *image_entries;   /**< parallel: the entry it came from */
  size_t image_count;
  size_t image_capacity;
  ims_digest_set seen; /**< digests that are members */
  ims_save_member *members;
  size_t count, capacity;
} ims_save_plan;

/** A zeroed plan with store, lease and the options set becomes complete; it is to be freed on failure too. */
int32_t ims_save_plan_make(ims_save_plan *plan, const char *const *names, size_t count, ims_error *err);
void ims_save_plan_free(ims_save_plan *plan);

#endif
