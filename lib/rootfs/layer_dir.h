/*
 * rootfs/layer_dir.h (L3) - one applied layer: a directory layers/NAME that is there only when it is complete.
 *
 *   NAME          hex digits of the chainID, then the form: "-t" or "-u" (trusted.* or user.* attributes), and for
 * other than the default options "-" and a hash of them NAME/root/    the layer's own files in overlay form: a lower
 * directory for overlayfs NAME/record.json, NAME/changes
 *
 * A layer directory never changes once it has its name.
 */
#ifndef IMS_ROOTFS_LAYER_DIR_H
#define IMS_ROOTFS_LAYER_DIR_H

#include "base/report.h"
#include "oci/digest.h"
#include "rootfs/layer_form.h"

enum { IMS_LAYER_NAME = 128 + IMS_LAYER_SUFFIX };

#define IMS_LAYER_ROOT "root"

/** What record.json says. */
typedef struct ims_layer_record {
  ims_digest diff_id, chain_id;
  ims_digest parent;   /**< chainID of the layers below; algorithm 0: none */
  uint64_t bytes;      /**< content of files and targets of links, each inode once */
  uint64_t inodes;     /**< without the directory root/ itself */
  bool opaque;         /**< it has opaque directories or whiteouts */
  bool default_acls;   /**< it has default ACLs */
  bool any_attributes; /**< more directories have extended attributes than are listed */
  ims_buf attributes;  /**< paths of directories with extended attributes, each with its NUL */
} ims_layer_record;

/** chain_id: of the layer. */
void ims_layer_dir_name(const ims_layer_form *form, const ims_digest *chain_id, char out[IMS_LAYER_NAME]);
/** The chainID in a name; false when it is no name of a layer directory. */
bool ims_layer_dir_chain_id(const char *name, ims_digest *chain_id);
/** *present: whether there is a complete layer directory of this name. */
int32_t ims_layer_dir_find(ims_rootfs_dir *dir, const char *name, bool *present, ims_error *err);
/** Opens NAME/root. */
int32_t ims_layer_dir_open(ims_rootfs_dir *dir, const char *name, int *fd, ims_error *err);
/** Frees with ims_layer_record_free, also after a failure. IMGSTORE_ECORRUPT: it is not readable. */
int32_t ims_layer_record_read(ims_layer_record *record, ims_rootfs_dir *dir, const char *name, ims_error *err);
void ims_layer_record_init(ims_layer_record *record, const ims_alloc *alloc);
void ims_layer_record_free(ims_layer_record *record);
/** Adds the layer's SKIPPED lines to report. */
int32_t ims_layer_changes_read(ims_rootfs_dir *dir, const char *name, imgstore_report *report, ims_error *err);
/** Writes record.json and, when report has lines, changes into a staged layer directory. Nothing is flushed. */
int32_t ims_layer_record_write(const ims_layer_record *record, ims_rootfs_dir *dir, int stage_fd, const char *form_text,
                               const imgstore_report *report, ims_error *err);

/** name: of a layer directory, or of something else (foreign). Non-zero stops the listing. */
typedef int32_t (*ims_layer_dir_visit)(void *data, const char *name, bool foreign);
int32_t ims_layer_dir_list(ims_rootfs_dir *dir, ims_layer_dir_visit visit, void *data, ims_error *err);

#endif
