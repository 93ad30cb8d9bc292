/*
 * base/report.h (L0) - what imgstore_report is inside; every layer may add lines.
 */
#ifndef IMS_BASE_REPORT_H
#define IMS_BASE_REPORT_H

#include "base/alloc.h"
#include "imgstore/report.h"

/** NULL when out of memory. */
imgstore_report *ims_report_new(const ims_alloc *alloc);
/** Adds a line; texts are copied, NULL is "". IMGSTORE_OK, IMGSTORE_ENOMEM or IMGSTORE_ELIMIT (a million lines). */
int32_t ims_report_add(imgstore_report *report, int32_t kind, const char *name, const char *digest, const char *detail,
                       uint64_t size, uint64_t shared);

/** Files and directories of the line that was added last. */
void ims_report_set_inodes(imgstore_report *report, uint64_t inodes);

#endif
