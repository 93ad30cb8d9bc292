/*
 * tests/unit/apply_fixture.h - layers written as text, a scratch directory with a canary beside the root, and a tree as
 * text.
 *
 * A layer is lines "TYPE PATH [key=value ...] [: REST]". TYPE is f (file, REST is its content), d, s (symbolic link to
 * REST), h (hard link to REST), c, b, p (device with major= and minor=, FIFO). Keys: mode (octal), uid, gid, mtime
 * (decimal, with fraction), xattr.NAME, hex.NAME (the value in hexadecimal).
 */
#ifndef APPLY_FIXTURE_H
#define APPLY_FIXTURE_H

#include "base/buf.h"
#include "base/core.h"
#include "rootfs/apply.h"

typedef struct scratch {
  char path[64]; /**< holds root/ and canary/ */
  int fd, root;
  char *canary; /**< what canary/ looked like in the beginning */
  ims_core *core;
  ims_sys sys; /**< what core uses: a test may replace calls in it */
  imgstore_unpack_options options;
  imgstore_report *report;
  ims_error err;
  size_t chunk; /**< bytes per feed */
} scratch;

void scratch_open(scratch *s);
/** Checks the canary and removes everything. */
void scratch_close(scratch *s);
/** Removes root/ and makes it again. */
void scratch_again(scratch *s);
/** Applies layers (ends with NULL) to root/. */
int32_t scratch_apply(scratch *s, const char *const *layers);
/** Everything in directory `name` of the scratch directory, a line each, sorted; freed by the caller. times: also the
    modification times of entries. */
char *scratch_list(const scratch *s, const char *name, bool times);
/** Fails the test unless the listing of root/ (without times) is exactly this. Modes of 0755 (directories) and 0644
    (files) and the owner of this process are not shown. */
void scratch_expect(const scratch *s, const char *expected);
/** Fails the test unless the report is exactly these lines "name: detail". */
void scratch_expect_report(const scratch *s, const char *expected);
/** Turns openat2 off, as on a kernel without it. */
void scratch_without_openat2(scratch *s);
/** One layer as an archive; freed with ims_buf_free. */
void layer_bytes(const char *text, ims_buf *out);
/** Open descriptors of this process. */
int count_descriptors(void);

#define LAYERS(...)                                                                                                    \
  (const char *const[]) {                                                                                              \
    __VA_ARGS__, NULL                                                                                                  \
  }

#endif
