/*
 * diff_driver.c - layers from and to directories, for scripts.
 *
 * diff_driver archive DIR MARKS [LOWER...]  writes the layer to standard output; MARKS: a sum of IMS_MARKS_*, with 0
 *                                           and LOWER only what is different from those
 * diff_driver changes DIR MARKS LOWER...    what is different from the lower directories, the uppermost first
 * diff_driver apply DIR                    applies the layer from standard input
 * What was left out is printed on standard error.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/report.h"
#include "rootfs/apply.h"
#include "rootfs/changes.h"
#include "rootfs/diff.h"
#include "store_fixture.h"

enum { BUDGET = 1 << 20 };

static int32_t write_out(void *data, const void *bytes, size_t size, ims_error *err) {
  (void)data;
  return fwrite(bytes, 1, size, stdout) == size ? IMGSTORE_OK : ims_fail(err, IMGSTORE_EIO, "standard output");
}

static int32_t open_lower(void *data, size_t i, int *fd, ims_error *err) {
  *fd = open(((char **)data)[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return *fd >= 0 ? IMGSTORE_OK : ims_fail(err, IMGSTORE_ENOTFOUND, "%s", ((char **)data)[i]);
}

static int32_t archive(ims_core *core, int dir, int argc, char **argv, imgstore_report *report, ims_error *err) {
  ims_diff_options options = {.marks = atoi(argv[0]), .root = true};
  ims_lower_stack lowers = {0};
  ims_diff *diff = NULL;
  int32_t rc = IMGSTORE_OK;
  if (argc > 1) {
    rc =
        ims_lowers_init(&lowers, core, (size_t)argc - 1, IMS_MARKS_TRUSTED | IMS_MARKS_USER, open_lower, argv + 1, err);
    options.lowers = &lowers;
  }
  if (!rc)
    rc = ims_diff_new(&diff, core, dir, &options, report, err);
  while (!rc && (rc = ims_diff_run(diff, BUDGET, write_out, NULL, err)) == IMGSTORE_EAGAIN)
    rc = IMGSTORE_OK;
  ims_diff_free(diff);
  ims_lowers_free(&lowers);
  return rc;
}

static int32_t print_change(void *data, int change, const char *path, ims_error *err) {
  (void)data;
  (void)err;
  printf("%c /%s\n", " ACD"[change], path);
  return IMGSTORE_OK;
}

static int32_t changes(ims_core *core, int dir, int argc, char **argv, ims_error *err) {
  ims_lower_stack lowers;
  ims_changes *walk = NULL;
  int32_t rc =
      ims_lowers_init(&lowers, core, (size_t)argc - 1, IMS_MARKS_TRUSTED | IMS_MARKS_USER, open_lower, argv + 1, err);
  if (!rc)
    rc = ims_changes_new(&walk, core, dir, atoi(argv[0]), &lowers, err);
  while (!rc && (rc = ims_changes_run(walk, 10, print_change, NULL, err)) == IMGSTORE_EAGAIN)
    rc = IMGSTORE_OK;
  ims_changes_free(walk);
  ims_lowers_free(&lowers);
  return rc;
}

static int32_t apply(ims_core *core, int dir, imgstore_report *report, ims_error *err) {
  static uint8_t buffer[BUDGET];
  imgstore_unpack_options options;
  ims_apply *applier;
  size_t size;
  imgstore_unpack_options_init(&options, sizeof options);
  int32_t rc = ims_apply_new(&applier, core, dir, &options, report, err);
  for (int layer = 0; layer < 2 && !rc; layer++) { /* an empty one first: what is there is of a lower layer then */
    rc = ims_apply_begin_layer(applier, err);
    if (!rc && layer == 0)
      rc = ims_apply_end_layer(applier, err);
  }
  while (!rc && (size = fread(buffer, 1, sizeof buffer, stdin)) > 0)
    rc = ims_apply_feed(applier, buffer, size, err);
  if (!rc)
    rc = ims_apply_end_layer(applier, err);
  if (!rc)
    rc = ims_apply_finish(applier, err);
  ims_apply_free(applier);
  return rc;
}

int main(int argc, char **argv) {
  ims_error err = IMS_ERROR_INIT;
  if (argc < 3)
    return 2;
  ims_core *core = fixture_core(NULL, NULL);
  core->limits.max_layer_entries = 10000000;
  core->limits.max_path_depth = 512;
  imgstore_report *report = ims_report_new(&core->alloc);
  int dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int32_t rc = IMGSTORE_EINVALID;
  if (strcmp(argv[1], "archive") == 0 && argc > 3)
    rc = archive(core, dir, argc - 3, argv + 3, report, &err);
  else if (strcmp(argv[1], "changes") == 0 && argc > 3)
    rc = changes(core, dir, argc - 3, argv + 3, &err);
  else if (strcmp(argv[1], "apply") == 0)
    rc = apply(core, dir, report, &err);
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    fprintf(stderr, "%s: %s\n", imgstore_report_name(report, i), imgstore_report_detail(report, i));
  if (rc)
    fprintf(stderr, "error %d: %s\n", (int)rc, err.message);
  imgstore_report_free(report);
  close(dir);
  ims_core_unref(core);
  return rc ? 1 : 0;
}
