/*
 * engine/layer_apply.c (L4) - one layer of a job into a directory of its own: what its pipe feeds, what it owes to the
 * layers below, its record.
 */
#include "engine/layer_apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static ims_core *core_of(const ims_layer_apply *layer) {
  return layer->place->op->core;
}

/* In the staging directory: what root/ and the record lie in. */
static void own_folder(const ims_layer_apply *layer, char name[IMS_LAYER_PREFIX]) {
  snprintf(name, IMS_LAYER_PREFIX, "%.*s", (int)strcspn(layer->prefix, "/"), layer->prefix);
}

/* --- in a pipe's task ----------------------------------------------------------------------------------------------
 */

static int32_t feed(void *data, const uint8_t *bytes, size_t size, ims_error *err) {
  ims_layer_apply *layer = data;
  int32_t rc = layer->unsure ? IMGSTORE_OK : ims_apply_feed(layer->apply, bytes, size, err);
  if (rc != IMGSTORE_EAGAIN)
    return rc;
  layer->unsure = true; /* the stream goes on: the blob is stored from it, and hashed */
  return IMGSTORE_OK;
}

static int32_t end_layer(void *data, ims_error *err) {
  ims_layer_apply *layer = data;
  int32_t rc = layer->unsure ? IMGSTORE_OK : ims_apply_end_layer(layer->apply, err);
  if (rc != IMGSTORE_EAGAIN)
    return rc;
  layer->unsure = true;
  return IMGSTORE_OK;
}

static int32_t empty(ims_layer_apply *layer, ims_error *err) {
  const ims_sys *sys = core_of(layer)->sys;
  ims_apply_free(layer->apply);
  layer->apply = NULL;
  imgstore_report_free(layer->report);
  layer->report = ims_report_new(&core_of(layer)->alloc);
  if (!layer->report)
    return ims_fail_nomem(err);
  int32_t rc = ims_tree_remove(core_of(layer), layer->root_fd, err);
  sys->close(layer->root_fd);
  layer->root_fd = -1;
  if (!rc && sys->unlinkat(layer->place->staging, layer->prefix, AT_REMOVEDIR) != 0)
    rc = ims_fail_os(err, errno, "cannot remove a staging directory");
  return rc;
}

static int32_t write_record(ims_layer_apply *layer, ims_error *err) {
  const ims_layer_place *place = layer->place;
  char name[IMS_LAYER_PREFIX];
  own_folder(layer, name);
  int32_t rc = ims_apply_describe(layer->apply, &layer->record, err);
  int fd = rc ? -1 : ims_dir_file_open_dir(core_of(layer), place->staging, name);
  if (!rc && fd < 0)
    rc = ims_fail_os(err, errno, "cannot open a staging directory");
  if (!rc)
    rc = ims_layer_record_write(&layer->record, place->dir, fd, place->form->text, layer->report, err);
  ims_dir_file_close(core_of(layer), &fd);
  return rc;
}

int32_t ims_layer_apply_settle(void *data, ims_error *err) {
  ims_layer_apply *layer = data;
  int32_t rc = layer->unsure  ? IMGSTORE_EAGAIN
               : layer->again ? IMGSTORE_OK
                              : ims_apply_settle(layer->apply, &layer->view, err);
  if (rc == IMGSTORE_EAGAIN) {
    rc = empty(layer, err);
    return rc ? rc : IMGSTORE_EBUSY;
  }
  if (!rc)
    rc = ims_apply_finish(layer->apply, err);
  if (!rc)
    rc = write_record(layer, err);
  ims_apply_free(layer->apply);
  layer->apply = NULL;
  ims_dir_file_close(core_of(layer), &layer->root_fd);
  return rc;
}

/* --- the driver's side ----------------------------------------------------------------------------------------------
 */

static int32_t make_directory(ims_layer_apply *layer, ims_error *err) {
  const ims_sys *sys = core_of(layer)->sys;
  int staging = layer->place->staging;
  char name[IMS_LAYER_PREFIX];
  own_folder(layer, name);
  if ((sys->mkdirat(staging, name, 0700) != 0 && errno != EEXIST) || sys->mkdirat(staging, layer->prefix, 0755) != 0)
    return ims_fail_os(err, errno, "cannot make a staging directory");
  layer->root_fd = sys->openat(staging, layer->prefix, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (layer->root_fd < 0 || sys->fchmod(layer->root_fd, 0755) != 0) /* exact, whatever the umask */
    return ims_fail_os(err, errno, "cannot open a staging directory");
  return IMGSTORE_OK;
}

static void init_record(ims_layer_apply *layer, const ims_config *config, size_t i) {
  ims_layer_record_free(&layer->record);
  ims_layer_record_init(&layer->record, &core_of(layer)->alloc);
  layer->record.diff_id = config->diff_ids[i];
  layer->record.chain_id = config->chain_ids[i];
  if (i)
    layer->record.parent = config->chain_ids[i - 1];
}

static int32_t begin_apply(ims_layer_apply *layer, bool first, ims_error *err) {
  const ims_layer_place *place = layer->place;
  const ims_layer_setup setup = {first ? NULL : ims_layer_form_opaque(place->form), layer->again ? &layer->view : NULL,
                                 place->quota};
  int32_t rc = ims_apply_new_layer(&layer->apply, core_of(layer), layer->root_fd, &place->form->unpack, layer->report,
                                   &setup, err);
  return rc ? rc : ims_apply_begin_layer(layer->apply, err);
}

int32_t ims_layer_apply_begin(ims_layer_apply *layer, const ims_config *config, size_t i, ims_lower *below,
                              ims_layer_pipe *pipe, ims_transfer *stream) {
  const ims_core *core = core_of(layer);
  ims_error *err = &layer->place->op->err;
  const ims_layer_sink sink = {feed, end_layer, layer};
  layer->view = (ims_lower_view){&core->alloc, core->sys, ims_layer_form_opaque(layer->place->form), below, i};
  layer->unsure = false;
  init_record(layer, config, i);
  if (!layer->report && !(layer->report = ims_report_new(&core->alloc)))
    return ims_fail_nomem(err);
  int32_t rc = make_directory(layer, err);
  if (!rc)
    rc = begin_apply(layer, i == 0, err);
  if (rc)
    return ims_error_prefix(err, "layer %s", layer->descriptor->digest.text);
  return ims_layer_pipe_begin(pipe, layer->descriptor, &layer->record.diff_id, stream, &sink);
}

void ims_layer_apply_stop(ims_layer_apply *layer) {
  ims_apply_free(layer->apply);
  layer->apply = NULL;
  ims_dir_file_close(core_of(layer), &layer->root_fd);
}

void ims_layer_apply_free(ims_layer_apply *layer) {
  imgstore_report_free(layer->report);
  ims_layer_record_free(&layer->record);
}
