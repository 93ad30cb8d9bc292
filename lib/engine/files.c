/*
 * engine/files.c (L4) - a cursor over the files of a layer: the tar reader on top of a verified stream, or of another
 * reader.
 */
#include <string.h>

#include "engine/content.h"
#include "tar/whiteout.h"

enum { PIECE = 64 << 10 };

struct imgstore_files {
  ims_core *core;
  ims_files_reader source;
  ims_tar_reader *reader;
  uint8_t *input;
  size_t at, filled;
  bool input_ended, done;

  const ims_tar_entry *entry; /* NULL before the first */
  char *path;                 /* cleaned, as callers see it */
  int whiteout;
  const uint8_t *data; /* content that the reader handed out and nobody read yet */
  size_t data_size;
  uint64_t data_offset; /* of data in the file */
  uint64_t position;    /* of the caller in the file, holes included */
  bool entry_ended;
};

const ims_alloc *ims_files_alloc(const imgstore_files *files) {
  return &files->core->alloc;
}

const ims_tar_entry *ims_files_entry(const imgstore_files *files) {
  return files->entry;
}

void ims_files_close(imgstore_files *files) {
  if (!files)
    return;
  ims_core *core = files->core;
  ims_tar_reader_free(files->reader);
  files->source.close(files->source.data);
  ims_free(&core->alloc, files->path);
  ims_free(&core->alloc, files->input);
  ims_free(&core->alloc, files);
  ims_core_unref(core);
}

int32_t ims_files_open_reader(imgstore_files **files, ims_core *core, const ims_files_reader *reader, ims_error *err) {
  const ims_tar_limits limits = {core->limits.max_layer_entries, core->limits.max_path_depth};
  *files = NULL;
  imgstore_files *f = ims_calloc(&core->alloc, 1, sizeof *f);
  if (!f) {
    reader->close(reader->data);
    return ims_fail_nomem(err);
  }
  f->core = ims_core_ref(core);
  f->source = *reader;
  f->input = ims_malloc(&core->alloc, PIECE);
  int32_t rc = f->input ? IMGSTORE_OK : ims_fail_nomem(err);
  if (!rc)
    rc = ims_tar_reader_new(&f->reader, &core->alloc, &limits, err);
  if (rc) {
    ims_files_close(f);
    return rc;
  }
  *files = f;
  return IMGSTORE_OK;
}

static int32_t read_stream(void *data, void *buffer, size_t size, size_t *got, ims_error *err) {
  return ims_stream_read(data, buffer, size, got, err);
}

static void close_stream(void *data) {
  ims_stream_close(data);
}

/* Takes over stream. */
static int32_t open_stream(imgstore_files **files, ims_core *core, imgstore_stream *stream, ims_error *err) {
  return ims_files_open_reader(files, core, &(ims_files_reader){read_stream, close_stream, stream}, err);
}

int32_t ims_files_open(imgstore_files **files, imgstore_layer *layer, ims_error *err) {
  imgstore_stream *stream;
  *files = NULL;
  int32_t rc = ims_stream_open_layer(&stream, layer, IMGSTORE_LAYER_UNCOMPRESSED, err);
  return rc ? rc : open_stream(files, layer->core, stream, err);
}

int32_t ims_files_open_blob(imgstore_files **files, imgstore_store *store, const ims_digest *blob, int32_t format,
                            const ims_digest *diff_id, ims_error *err) {
  imgstore_stream *stream;
  *files = NULL;
  int32_t rc = ims_stream_open(&stream, store, blob, format, diff_id, err);
  return rc ? rc : open_stream(files, store->core, stream, err);
}

/* The reader's next event, with more input when it asks; *event MORE: the archive has ended and was verified. */
static int32_t next_event(imgstore_files *f, ims_tar_event *event, ims_error *err) {
  for (;;) {
    size_t used;
    int32_t rc = ims_tar_reader_next(f->reader, f->input + f->at, f->filled - f->at, &used, event, err);
    if (rc)
      return rc;
    f->at += used;
    if (event->type != IMS_TAR_MORE && event->type != IMS_TAR_END)
      return IMGSTORE_OK;
    if (f->at < f->filled)
      continue;
    if (f->input_ended)
      return ims_tar_reader_finish(f->reader, err);
    f->at = 0;
    rc = f->source.read(f->source.data, f->input, PIECE, &f->filled, err);
    if (rc)
      return rc;
    f->input_ended = !f->filled;
  }
}

static int32_t take_entry(imgstore_files *f, const ims_tar_entry *entry, ims_error *err) {
  ims_free(&f->core->alloc, f->path);
  f->path = ims_malloc(&f->core->alloc, strlen(entry->path) + 1);
  int32_t rc = f->path ? ims_layer_path(entry->path, f->path, &f->whiteout, err) : ims_fail_nomem(err);
  if (rc)
    return rc;
  f->entry = entry;
  f->entry_ended = false;
  f->data_size = 0;
  f->position = 0;
  return IMGSTORE_OK;
}

int32_t ims_files_next(imgstore_files *f, ims_error *err) {
  ims_tar_event event;
  f->entry = NULL; /* its memory is the reader's, also when the next one is not to be had */
  while (!f->done) {
    int32_t rc = next_event(f, &event, err);
    if (!rc && event.type == IMS_TAR_ENTRY)
      rc = take_entry(f, event.entry, err);
    if (rc)
      return rc;
    if (event.type == IMS_TAR_ENTRY && f->whiteout != IMS_WHITEOUT_IGNORE)
      return IMGSTORE_OK;
    f->entry = NULL;
    f->done = event.type == IMS_TAR_MORE || event.type == IMS_TAR_END;
  }
  return IMGSTORE_ENOTFOUND;
}

/* Makes content available, unless the entry has none left. */
static int32_t fill(imgstore_files *f, ims_error *err) {
  ims_tar_event event;
  while (!f->data_size && !f->entry_ended) {
    int32_t rc = next_event(f, &event, err);
    if (rc)
      return rc;
    if (event.type == IMS_TAR_DATA) {
      f->data = event.data;
      f->data_size = event.data_size;
      f->data_offset = event.data_offset;
    } else {
      f->entry_ended = true;
    }
  }
  return IMGSTORE_OK;
}

int32_t ims_files_piece(imgstore_files *f, const uint8_t **data, size_t *size, ims_error *err) {
  *data = NULL;
  *size = 0;
  if (!f->entry)
    return IMGSTORE_OK;
  int32_t rc = fill(f, err);
  if (rc)
    return rc;
  *data = f->data;
  *size = f->data_size;
  f->position = f->data_offset + f->data_size;
  f->data_size = 0;
  return IMGSTORE_OK;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

int32_t ims_files_read(imgstore_files *f, void *buffer, size_t size, size_t *got, ims_error *err) {
  *got = 0;
  if (!f->entry || f->entry->type != IMS_TAR_REGULAR || f->position >= f->entry->size)
    return IMGSTORE_OK;
  int32_t rc = fill(f, err);
  if (rc)
    return rc;
  uint64_t hole_end = f->data_size ? f->data_offset : f->entry->size;
  if (f->position < hole_end) {
    *got = (size_t)smaller(size, hole_end - f->position);
    memset(buffer, 0, *got);
  } else {
    *got = (size_t)smaller(size, f->data_size);
    memcpy(buffer, f->data, *got);
    f->data += *got;
    f->data_size -= *got;
    f->data_offset += *got;
  }
  f->position += *got;
  return IMGSTORE_OK;
}

/* --- accessors of include/imgstore/layer.h
 * ---------------------------------------------------------------------------------- */

const char *imgstore_files_path(const imgstore_files *files) {
  return files && files->entry ? files->path : "";
}

int32_t imgstore_files_type(const imgstore_files *files) {
  static const int32_t types[] = {
      [IMS_TAR_REGULAR] = IMGSTORE_FILE_REGULAR,    [IMS_TAR_HARDLINK] = IMGSTORE_FILE_HARDLINK,
      [IMS_TAR_SYMLINK] = IMGSTORE_FILE_SYMLINK,    [IMS_TAR_CHAR] = IMGSTORE_FILE_CHAR_DEVICE,
      [IMS_TAR_BLOCK] = IMGSTORE_FILE_BLOCK_DEVICE, [IMS_TAR_DIRECTORY] = IMGSTORE_FILE_DIRECTORY,
      [IMS_TAR_FIFO] = IMGSTORE_FILE_FIFO};
  if (!files || !files->entry)
    return 0;
  if (files->whiteout == IMS_WHITEOUT_FILE)
    return IMGSTORE_FILE_WHITEOUT;
  if (files->whiteout == IMS_WHITEOUT_OPAQUE)
    return IMGSTORE_FILE_OPAQUE;
  return types[files->entry->type];
}

static const ims_tar_entry *entry_of(const imgstore_files *files) {
  static const ims_tar_entry none = {.path = "", .linkpath = ""};
  return files && files->entry ? files->entry : &none;
}

uint32_t imgstore_files_mode(const imgstore_files *files) {
  return entry_of(files)->mode;
}

uint64_t imgstore_files_uid(const imgstore_files *files) {
  return entry_of(files)->uid;
}

uint64_t imgstore_files_gid(const imgstore_files *files) {
  return entry_of(files)->gid;
}

uint64_t imgstore_files_size(const imgstore_files *files) {
  return entry_of(files)->type == IMS_TAR_REGULAR ? entry_of(files)->size : 0;
}

int64_t imgstore_files_mtime(const imgstore_files *files, uint32_t *nanoseconds) {
  if (nanoseconds)
    *nanoseconds = entry_of(files)->mtime_ns;
  return entry_of(files)->mtime;
}

const char *imgstore_files_link_target(const imgstore_files *files) {
  return entry_of(files)->linkpath;
}

uint32_t imgstore_files_device_major(const imgstore_files *files) {
  return entry_of(files)->major;
}

uint32_t imgstore_files_device_minor(const imgstore_files *files) {
  return entry_of(files)->minor;
}

size_t imgstore_files_xattr_count(const imgstore_files *files) {
  return entry_of(files)->xattr_count;
}

int32_t imgstore_files_xattr(const imgstore_files *files, size_t i, const char **name, const void **value,
                             size_t *size) {
  const ims_tar_entry *entry = entry_of(files);
  if (i >= entry->xattr_count)
    return IMGSTORE_EINVALID;
  if (name)
    *name = entry->xattrs[i].name;
  if (value)
    *value = entry->xattrs[i].value;
  if (size)
    *size = entry->xattrs[i].size;
  return IMGSTORE_OK;
}
