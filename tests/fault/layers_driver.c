/*
 * layers_driver.c - layer directories through the public interface, for scripts: applies, counts, removes.
 *
 * layers_driver apply|usage|prune STORE [IMAGE] [KEY=VALUE ...]   dir=PATH bytes=N inodes=N workers=N user=1 none=1
 *
 * Lines on standard output are reports, one line each: "KIND NAME DIGEST SIZE SHARED INODES DETAIL".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <imgstore/imgstore.h>

typedef struct driver {
  const char *job, *store_path, *image_name, *dir_path;
  imgstore_context_options context;
  imgstore_rootfs_dir_options dir;
  imgstore_layers_options layers;
} driver;

static void read_key(driver *d, char *word) {
  char *value = strchr(word, '=');
  if (!value) {
    d->image_name = word;
    return;
  }
  *value++ = '\0';
  if (strcmp(word, "dir") == 0)
    d->dir_path = value;
  else if (strcmp(word, "bytes") == 0)
    d->layers.max_bytes = strtoull(value, NULL, 10);
  else if (strcmp(word, "inodes") == 0)
    d->layers.max_inodes = strtoull(value, NULL, 10);
  else if (strcmp(word, "workers") == 0)
    d->context.workers = (uint32_t)strtoul(value, NULL, 10);
  else if (strcmp(word, "user") == 0)
    d->layers.overlay_form = IMGSTORE_OVERLAY_USER;
  else if (strcmp(word, "none") == 0)
    d->dir.durability = IMGSTORE_DURABILITY_NONE;
  else if (strcmp(word, "readonly") == 0)
    d->dir.flags = IMGSTORE_ROOTFS_DIR_READ_ONLY;
}

static void print_report(const imgstore_report *report) {
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    printf("%d %s %s %llu %llu %llu %s\n", imgstore_report_kind(report, i), imgstore_report_name(report, i),
           imgstore_report_digest(report, i), (unsigned long long)imgstore_report_size(report, i),
           (unsigned long long)imgstore_report_shared(report, i), (unsigned long long)imgstore_report_inodes(report, i),
           imgstore_report_detail(report, i));
}

static int32_t run(const driver *d, imgstore_store *store, imgstore_rootfs_dir *dir, imgstore_error **error) {
  imgstore_report *report = NULL;
  imgstore_image *image = NULL;
  int32_t rc;
  if (strcmp(d->job, "apply") == 0) {
    rc = imgstore_store_image(store, d->image_name ? d->image_name : "", NULL, &image, error);
    if (!rc)
      rc = imgstore_layers_apply(dir, image, &d->layers, &report, error);
  } else if (strcmp(d->job, "prune") == 0) {
    rc = imgstore_rootfs_dir_prune(dir, &report, error);
  } else {
    rc = imgstore_rootfs_dir_usage(dir, &report, error);
  }
  print_report(report);
  imgstore_report_free(report);
  imgstore_image_unref(image);
  return rc;
}

int main(int argc, char **argv) {
  driver d = {0};
  imgstore_context *context = NULL;
  imgstore_store *store = NULL;
  imgstore_rootfs_dir *dir = NULL;
  imgstore_error *error = NULL;
  if (argc < 3)
    return 2;
  imgstore_context_options_init(&d.context, sizeof d.context);
  imgstore_rootfs_dir_options_init(&d.dir, sizeof d.dir);
  imgstore_layers_options_init(&d.layers, sizeof d.layers);
  d.job = argv[1];
  d.store_path = argv[2];
  for (int i = 3; i < argc; i++)
    read_key(&d, argv[i]);
  int32_t rc = imgstore_context_new(&d.context, &context, &error);
  if (!rc)
    rc = imgstore_store_open(context, d.store_path, NULL, &store, &error);
  if (!rc)
    rc = imgstore_rootfs_dir_open(store, d.dir_path, &d.dir, &dir, &error);
  if (!rc)
    rc = run(&d, store, dir, &error);
  if (rc)
    fprintf(stderr, "%d %s\n", rc, imgstore_error_message(error));
  imgstore_error_free(error);
  imgstore_rootfs_dir_close(dir);
  imgstore_store_close(store);
  imgstore_context_free(context);
  return rc ? 1 : 0;
}
