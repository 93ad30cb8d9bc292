/*
 * tar/entry.h (L1) - one entry in the making: its header, the extension headers before it, and the ims_tar_entry that
 * comes of them. Which source wins for which field is decided here and nowhere else.
 */
#ifndef IMS_TAR_ENTRY_H
#define IMS_TAR_ENTRY_H

#include "base/buf.h"
#include "tar/header.h"
#include "tar/pax.h"

/** Of one extension header's content. */
enum { IMS_TAR_EXTENSION_MAX = 1 << 20 };

typedef struct ims_tar_draft {
  ims_tar_header header;
  bool has_header;
  ims_buf pax_text, long_name, long_link; /**< content of 'x', 'L', 'K' headers */
  bool has_pax, has_name, has_link;
  ims_pax pax;
  ims_tar_xattrs xattrs;
  ims_tar_map map;
  bool map_in_content; /**< PAX 1.0: the map is at the front of the content */
  uint64_t stored;     /**< bytes of content in the archive, a 1.0 map included */
  ims_tar_entry entry;
} ims_tar_draft;

void ims_tar_draft_init(ims_tar_draft *draft, const ims_alloc *alloc);
void ims_tar_draft_free(ims_tar_draft *draft);
/** For the next entry; keeps memory unless it is much. */
void ims_tar_draft_clear(ims_tar_draft *draft);
/** The buffer that the content of an extension header of this type belongs in; a second one of a type is an error. */
int32_t ims_tar_draft_extension(ims_tar_draft *draft, uint8_t typeflag, ims_buf **buffer, ims_error *err);
bool ims_tar_draft_has_extension(const ims_tar_draft *draft);
/** The buffer is complete. */
int32_t ims_tar_draft_extension_done(ims_tar_draft *draft, uint8_t typeflag, ims_error *err);
/** Takes the entry's own header. *more: extension blocks of an old GNU sparse map follow. */
int32_t ims_tar_draft_header(ims_tar_draft *draft, const uint8_t *block, const ims_pax *global, bool *more,
                             ims_error *err);
/** Everything before the content (and a map in it) was read: checks, and completes draft->entry. */
int32_t ims_tar_draft_finish(ims_tar_draft *draft, uint64_t max_path_depth, ims_error *err);
/** The best name there is so far, for messages. */
const char *ims_tar_draft_name(const ims_tar_draft *draft);

#endif
