/*
 * oci/platform.h (L1) - os/architecture/variant: parsing, normalising, choosing from an index.
 *
 * Normalised as containerd does: x86_64 -> amd64, aarch64 -> arm64, arm64/v8 == arm64, arm -> arm/v7, ...
 */
#ifndef IMS_OCI_PLATFORM_H
#define IMS_OCI_PLATFORM_H

#include <stdbool.h>

#include "base/error.h"

enum { IMS_PLATFORM_PART = 32, IMS_PLATFORM_TEXT = 3 * IMS_PLATFORM_PART };

typedef struct ims_platform {
  char os[IMS_PLATFORM_PART];
  char architecture[IMS_PLATFORM_PART];
  char variant[IMS_PLATFORM_PART]; /**< "" when none */
} ims_platform;

/** text NULL: this machine's. "os/arch[/variant]", or "arch" alone (os linux). Errors: IMGSTORE_EFORMAT. */
int32_t ims_platform_parse(ims_platform *platform, const char *text, ims_error *err);
void ims_platform_default(ims_platform *platform);
void ims_platform_normalise(ims_platform *platform);
/** How well an image for have runs where want is asked: 0 not at all, higher is better (arm/v7 runs v6, v5). */
int ims_platform_score(const ims_platform *want, const ims_platform *have);
void ims_platform_text(const ims_platform *platform, char out[IMS_PLATFORM_TEXT]);

#endif
