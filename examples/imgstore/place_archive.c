/*
 * place_archive.c - archives as places. An archive is read or written in one piece, so its images pass through a store
 * of their own in a temporary folder, which is gone when the copy ends.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "places.h"

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
  return remove(path);
}

void place_archive_close(place *p) {
  imgstore_store_close(p->layout);
  p->layout = NULL;
  if (*text_get(&p->temporary))
    nftw(text_get(&p->temporary), remove_one, 16, FTW_DEPTH | FTW_PHYS);
  text_free(&p->temporary);
}

static bool make_folder(place *p) {
  const char *parent = getenv("TMPDIR");
  text_addf(&p->temporary, "%s/imgstore-copy-XXXXXX", parent && *parent ? parent : "/var/tmp");
  if (p->temporary.failed)
    return false;
  if (mkdtemp(p->temporary.data))
    return true;
  text_clear(&p->temporary);
  return false;
}

static int open_passing(place *p, cli *c) {
  imgstore_store_options options;
  imgstore_error *error = NULL;
  if (!make_folder(p)) {
    cli_message(c, "cannot make a temporary folder; TMPDIR says where");
    return CLI_FAILED;
  }
  imgstore_store_options_init(&options, sizeof options);
  options.durability = IMGSTORE_DURABILITY_NONE;
  int32_t code = imgstore_store_open(c->context, text_get(&p->temporary), &options, &p->layout, &error);
  p->place.store = p->layout;
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

/* FILE[:NAME]; what follows the last colon after the last slash is no part of the file's name. */
static void split(place *p, const char *location) {
  const char *slash = strrchr(location, '/'), *colon = strchr(slash ? slash : location, ':');
  text_add_bytes(&p->dir, location, colon ? (size_t)(colon - location) : strlen(location));
  text_add(&p->name, colon ? colon + 1 : "");
}

int place_archive_open(place *p, cli *c, const char *location, int role, int32_t format) {
  split(p, location);
  p->format = format;
  p->role = role;
  if (!p->dir.size)
    return cli_usage(c, "%s: the file of an archive is missing", location);
  if (role & PLACE_DESTINATION && format == IMGSTORE_ARCHIVE_OCI)
    p->place.flags = IMGSTORE_PLACE_PLAIN_NAME;
  return open_passing(p, c);
}

static int drive(cli *c, job *j, progress *p, int32_t code, imgstore_operation *operation, imgstore_error *error) {
  if (code == IMGSTORE_OK)
    code = job_run(j, p, operation, &error);
  imgstore_operation_free(operation);
  return code ? job_failed(j, c, code, &error) : CLI_OK;
}

int place_archive_load(place *p, cli *c, job *j, progress *shown) {
  imgstore_load_options options;
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  if (!p->format || p->role & PLACE_DESTINATION)
    return CLI_OK;
  imgstore_load_options_init(&options, sizeof options); /* what is in the file is looked at */
  int32_t code = imgstore_load_start(p->layout, text_get(&p->dir), &options, &operation, &error);
  return drive(c, j, shown, code, operation, error);
}

/* The name that the image has got in the store. */
static const char *name_in(const imgstore_report *report) {
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    if (imgstore_report_kind(report, i) == IMGSTORE_REPORT_PUBLISHED)
      return imgstore_report_name(report, i);
  return "";
}

int place_archive_save(place *p, cli *c, job *j, progress *shown, const imgstore_report *report,
                       const imgstore_copy_options *like) {
  imgstore_save_options options;
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  const char *name = name_in(report);
  if (!p->format || !(p->role & PLACE_DESTINATION) || like->flags & IMGSTORE_COPY_DRY_RUN)
    return CLI_OK;
  imgstore_save_options_init(&options, sizeof options);
  options.format = p->format;
  options.platform = like->platform;
  options.flags = like->flags & IMGSTORE_COPY_ALL_PLATFORMS ? IMGSTORE_SAVE_ALL_PLATFORMS : 0;
  int32_t code = imgstore_save_start(p->layout, &name, 1, text_get(&p->dir), &options, &operation, &error);
  return drive(c, j, shown, code, operation, error);
}
