/*
 * imgstore/report.h - what a job did or found, line by line: tags, removed objects, damage, skipped entries.
 */
#ifndef IMGSTORE_REPORT_H
#define IMGSTORE_REPORT_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  IMGSTORE_REPORT_TAG = 1,         /**< name: a tag of a repository */
  IMGSTORE_REPORT_UNTAGGED = 2,    /**< name: a reference that was removed; digest: what it named */
  IMGSTORE_REPORT_DELETED = 3,     /**< digest, size: a blob that was deleted; of a diff, name: a path that was */
  IMGSTORE_REPORT_DAMAGED = 4,     /**< digest: a blob that is not what it should be; detail: how */
  IMGSTORE_REPORT_MISSING = 5,     /**< digest: a blob that should be there; name: an image that needs it */
  IMGSTORE_REPORT_AFFECTED = 6,    /**< name: a reference whose image is incomplete; digest: the missing object */
  IMGSTORE_REPORT_QUARANTINED = 7, /**< digest: a damaged blob that was moved out of the way */
  IMGSTORE_REPORT_REPAIRED = 8,    /**< digest: a blob that was fetched again; not made by this release */
  IMGSTORE_REPORT_FOREIGN = 9,     /**< name: a file in the store that the library does not know; left alone */
  IMGSTORE_REPORT_SKIPPED = 10,    /**< name: a path that was not made as the layer says; detail: what and why */
  IMGSTORE_REPORT_USAGE = 11,      /**< name: image; digest; size: total bytes; shared: bytes shared with others */
  IMGSTORE_REPORT_REPOSITORY = 12, /**< name: a repository of a registry */
  IMGSTORE_REPORT_ACCESS = 13,     /**< name: "pull", "push" or "delete"; size: 1 when allowed; detail: why not */
  IMGSTORE_REPORT_SIGNED = 14,     /**< digest: a signature that counts; name: its key; detail: the kind of key */
  IMGSTORE_REPORT_UNSIGNED = 15,   /**< digest: a signature that does not count; detail: why */
  IMGSTORE_REPORT_PUBLISHED = 16,  /**< name: what it was pushed or copied to; digest, size, detail: of its manifest */
  IMGSTORE_REPORT_SENT = 17,       /**< digest, size, detail (type): a blob or manifest that was sent, or would be */
  IMGSTORE_REPORT_PRESENT = 18,    /**< digest, size, detail: one that the destination had */
  IMGSTORE_REPORT_MOUNTED = 19,    /**< digest, size, detail: one that it took from its own repository in name */
  IMGSTORE_REPORT_ROOTFS = 20,     /**< name: an instance; digest: its manifest; detail: the name of its image */
  IMGSTORE_REPORT_LAYER_DIR = 21,  /**< name: a layer directory; digest: its chainID; size: its bytes */
  IMGSTORE_REPORT_ADDED = 22,      /**< name: a path that an instance has and its image has not */
  IMGSTORE_REPORT_MODIFIED = 23,   /**< name: a path that an instance has otherwise than its image */
  IMGSTORE_REPORT_FAILED = 24      /**< name: a tag that was not synced; detail: why */
};

/** How many lines. 0 for NULL. */
IMGSTORE_API size_t imgstore_report_count(const imgstore_report *report);
/** What line i says, one of IMGSTORE_REPORT_*; 0 when out of range. */
IMGSTORE_API int32_t imgstore_report_kind(const imgstore_report *report, size_t i);
/** The name in line i, or "". Text from an image: not safe to print to a terminal unescaped. */
IMGSTORE_API const char *imgstore_report_name(const imgstore_report *report, size_t i);
/** The digest in line i, or "". */
IMGSTORE_API const char *imgstore_report_digest(const imgstore_report *report, size_t i);
/** The words in line i, or "". */
IMGSTORE_API const char *imgstore_report_detail(const imgstore_report *report, size_t i);
/** The bytes in line i. */
IMGSTORE_API uint64_t imgstore_report_size(const imgstore_report *report, size_t i);
/** The bytes of line i that other images share. */
IMGSTORE_API uint64_t imgstore_report_shared(const imgstore_report *report, size_t i);
/** The files and directories in line i, where the job counts them, else 0. */
IMGSTORE_API uint64_t imgstore_report_inodes(const imgstore_report *report, size_t i);
/** Frees a report. */
IMGSTORE_API void imgstore_report_free(imgstore_report *report);

#ifdef __cplusplus
}
#endif
#endif
