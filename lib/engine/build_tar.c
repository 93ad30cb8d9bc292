/*
 * engine/build_tar.c (L4) - a tar as the source of a layer: from a file, a pipe or a function of the caller's. It is
 * decompressed and read through to its end, so that nothing becomes a layer that cannot be applied.
 *
 * The bytes of the tar stay as they are; only a limit on times has it written anew, entry by entry.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "compress/decoder.h"
#include "engine/build_layer.h"
#include "oci/mediatype.h"
#include "tar/reader.h"
#include "tar/whiteout.h"
#include "tar/writer.h"

enum { PIECE = 256 << 10, HEADER_MAX = 4 << 20, SNIFF = 4, WAIT_MS = 50 };

typedef struct tar_source {
  ims_layer_source base; /**< first member */
  ims_core *core;
  imgstore_store *store;
  char *name; /* for messages */
  int fd;     /* or -1: read */
  bool is_file;
  imgstore_tar_read_fn read;
  void *user_data;
  bool rewrite; /* with clamp_time */
  int64_t clamp_time;
  uint8_t *in, *out;
  size_t at, filled;
  bool ended;     /* the input */
  int32_t format; /* IMS_FORMAT_*; -1: not known yet */
  ims_decoder *decoder;
  ims_tar_reader *reader;
  ims_buf header;
  uint64_t content_size; /* of the entry that is rewritten */
  uint64_t tar_size;
  ims_hash diff_hash; /* as is */
  ims_ingest raw;
} tar_source;

static tar_source *source_of(ims_layer_source *source) {
  return (tar_source *)source;
}

static int32_t named(tar_source *s, ims_error *err) {
  return ims_error_prefix(err, "%s", s->name);
}

/* --- input -------------------------------------------------------------------------------------------------------- */

/* What is no file may have nothing to read. A source has no descriptor to be waited for with, so a thread waits, and
 * not for long: the job can be cancelled meanwhile. */
static bool is_readable(const tar_source *s) {
  struct pollfd p = {.fd = s->fd, .events = POLLIN};
  return s->is_file || poll(&p, 1, WAIT_MS) > 0;
}

static int32_t read_fd(tar_source *s, size_t *got, ims_error *err) {
  ssize_t n;
  if (!is_readable(s))
    return IMGSTORE_EAGAIN;
  do
    n = s->core->sys->read(s->fd, s->in + s->filled, PIECE - s->filled);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    return IMGSTORE_EAGAIN;
  if (n < 0)
    return ims_fail_os(err, errno, "%s: cannot read", s->name);
  *got = (size_t)n;
  return IMGSTORE_OK;
}

static int32_t read_callback(tar_source *s, size_t *got, ims_error *err) {
  size_t room = PIECE - s->filled;
  int32_t value = s->read(s->user_data, s->in + s->filled, room, got);
  if (value)
    return ims_fail_callback(err, value, "the function that reads the tar");
  if (*got > room)
    return ims_fail(err, IMGSTORE_EINVALID, "the function that reads the tar gave %zu bytes for %zu", *got, room);
  return IMGSTORE_OK;
}

/* Reads once; what was in the buffer has been used, except while the format is not known. */
static int32_t fill(tar_source *s, ims_error *err) {
  size_t got = 0;
  if (s->at == s->filled)
    s->at = s->filled = 0;
  int32_t rc = s->fd >= 0 ? read_fd(s, &got, err) : read_callback(s, &got, err);
  if (rc)
    return rc;
  if (s->base.has_blob && got)
    rc = ims_ingest_write(&s->raw, s->in + s->filled, got, err);
  s->filled += got;
  s->ended = !got;
  return rc;
}

static int32_t find_format(tar_source *s, ims_error *err) {
  const imgstore_context_options *limits = &s->core->limits;
  const ims_decoder_limits decoder_limits = {limits->max_layer_output, limits->max_layer_ratio,
                                             limits->max_zstd_window};
  if (s->base.has_blob && !s->filled)
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: is empty", s->name);
  s->format = ims_format_sniff(s->in, s->filled);
  if (s->format == IMS_FORMAT_NONE)
    return IMGSTORE_OK;
  s->out = ims_malloc(&s->core->alloc, PIECE);
  return s->out ? ims_decoder_new(&s->decoder, &s->core->alloc, s->format, IMS_ENGINE_BEST, &decoder_limits, err)
                : ims_fail_nomem(err);
}

/* --- the tar ------------------------------------------------------------------------------------------------------ */

static int32_t check_path(tar_source *s, const ims_tar_entry *entry, ims_error *err) {
  int kind;
  char *path = ims_malloc(&s->core->alloc, strlen(entry->path) + 1);
  if (!path)
    return ims_fail_nomem(err);
  int32_t rc = ims_layer_path(entry->path, path, &kind, err);
  ims_free(&s->core->alloc, path);
  return rc;
}

static int32_t rewrite_entry(tar_source *s, const ims_tar_entry *found, ims_layer_writer *writer, ims_error *err) {
  ims_tar_entry entry = *found;
  if (entry.mtime >= s->clamp_time) {
    entry.mtime = s->clamp_time;
    entry.mtime_ns = 0;
  }
  s->content_size = entry.type == IMS_TAR_REGULAR ? entry.data_size : 0;
  ims_buf_clear(&s->header);
  int32_t rc = ims_tar_put_entry(&s->header, &entry, err);
  return rc ? rc : ims_layer_writer_put(writer, ims_buf_text(&s->header), s->header.size, err);
}

static int32_t take_event(tar_source *s, const ims_tar_event *event, ims_layer_writer *writer, ims_error *err) {
  static const uint8_t zeros[512];
  int32_t rc = event->type == IMS_TAR_ENTRY ? check_path(s, event->entry, err) : IMGSTORE_OK;
  if (rc || !s->rewrite)
    return rc;
  switch (event->type) {
  case IMS_TAR_ENTRY:
    return rewrite_entry(s, event->entry, writer, err);
  case IMS_TAR_DATA:
    return ims_layer_writer_put(writer, event->data, event->data_size, err);
  case IMS_TAR_ENTRY_END:
    return ims_layer_writer_put(writer, zeros, ims_tar_padding(s->content_size), err);
  default:
    return IMGSTORE_OK;
  }
}

/* Takes bytes of the tar: checks them, and passes them on or writes what they say. */
static int32_t take_tar(tar_source *s, const uint8_t *data, size_t size, ims_layer_writer *writer, ims_error *err) {
  ims_tar_event event = {.type = IMS_TAR_ENTRY};
  int32_t rc = IMGSTORE_OK;
  s->tar_size += size;
  if (s->base.has_blob)
    ims_hash_update(&s->diff_hash, data, size);
  else if (!s->rewrite && size)
    rc = ims_layer_writer_put(writer, data, size, err);
  for (size_t at = 0, used; !rc && at < size; at += used) {
    rc = ims_tar_reader_next(s->reader, data + at, size - at, &used, &event, err);
    if (!rc)
      rc = take_event(s, &event, writer, err);
    if (rc)
      return named(s, err);
  }
  return rc;
}

static int32_t decode_piece(tar_source *s, ims_layer_writer *writer, ims_error *err) {
  size_t used, made;
  int32_t rc = ims_decoder_run(s->decoder, s->in + s->at, s->filled - s->at, &used, s->out, PIECE, &made, err);
  if (rc)
    return named(s, err);
  s->at += used;
  return take_tar(s, s->out, made, writer, err);
}

/* Output that the decoder still holds when there is no more input. */
static int32_t drain(tar_source *s, ims_layer_writer *writer, ims_error *err) {
  uint64_t before;
  int32_t rc = IMGSTORE_OK;
  do {
    before = s->tar_size;
    if (s->decoder)
      rc = decode_piece(s, writer, err);
  } while (!rc && s->tar_size > before);
  if (!rc && s->decoder && (rc = ims_decoder_finish(s->decoder, err)))
    return named(s, err);
  return rc;
}

static int32_t finish(tar_source *s, ims_layer_writer *writer, ims_error *err) {
  int32_t rc = drain(s, writer, err);
  if (!rc && (rc = ims_tar_reader_finish(s->reader, err)))
    return named(s, err);
  if (rc || s->base.has_blob || (!s->rewrite && s->tar_size))
    return rc;
  ims_buf_clear(&s->header); /* nothing at all is no tar to other readers */
  if (ims_tar_put_end(&s->header))
    return ims_fail_nomem(err);
  return ims_layer_writer_put(writer, ims_buf_text(&s->header), s->header.size, err);
}

static int32_t step(ims_layer_source *source, ims_layer_writer *writer, ims_error *err) {
  tar_source *s = source_of(source);
  int32_t rc = IMGSTORE_OK;
  if (s->at == s->filled || s->format < 0) {
    rc = fill(s, err);
    if (!rc && s->format < 0) {
      if (s->filled < SNIFF && !s->ended)
        return IMGSTORE_EAGAIN;
      rc = find_format(s, err);
    }
  }
  if (!rc && s->at < s->filled && s->decoder) {
    rc = decode_piece(s, writer, err);
  } else if (!rc && s->at < s->filled) {
    rc = take_tar(s, s->in + s->at, s->filled - s->at, writer, err);
    s->at = s->filled;
  }
  source->done = s->tar_size;
  if (rc)
    return rc;
  return s->ended && s->at == s->filled ? finish(s, writer, err) : IMGSTORE_EAGAIN;
}

/* --- a blob as it is ---------------------------------------------------------------------------------------------- */

static int32_t commit(ims_layer_source *source, ims_lease *lease, ims_build_layer *layer, ims_error *err) {
  static const char *const types[] = {"application/vnd.oci.image.layer.v1.tar",
                                      "application/vnd.oci.image.layer.v1.tar+gzip",
                                      "application/vnd.oci.image.layer.v1.tar+zstd"};
  tar_source *s = source_of(source);
  memset(layer, 0, sizeof *layer);
  int32_t rc = ims_ingest_name(&s->raw, err);
  if (rc)
    return rc;
  layer->digest = s->raw.digest;
  layer->size = s->raw.size;
  layer->format = s->format;
  ims_digest_from_hash(&layer->diff_id, &s->diff_hash);
  memcpy(layer->media_type, types[s->format], strlen(types[s->format]) + 1);
  rc = ims_lease_add(lease, &layer->digest, err);
  if (!rc)
    rc = ims_ingest_verify(&s->raw, err);
  return rc ? rc : ims_ingest_commit(&s->raw, err);
}

/* --- the source --------------------------------------------------------------------------------------------------- */

static void free_source(ims_layer_source *source) {
  tar_source *s = source_of(source);
  ims_core *core = s->core;
  ims_ingest_close(&s->raw, false);
  if (s->fd >= 0)
    core->sys->close(s->fd);
  ims_decoder_free(s->decoder);
  ims_tar_reader_free(s->reader);
  ims_buf_free(&s->header);
  ims_free(&core->alloc, s->in);
  ims_free(&core->alloc, s->out);
  ims_free(&core->alloc, s->name);
  ims_free(&core->alloc, s);
  ims_core_unref(core);
}

static const ims_layer_source_type tar_source_type = {step, commit, free_source};

static int32_t open_path(tar_source *s, const char *path, ims_error *err) {
  struct stat st;
  s->fd = s->core->sys->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
  if (s->fd < 0)
    return ims_fail_os(err, errno, "%s", path);
  if (s->core->sys->fstat(s->fd, &st))
    return ims_fail_os(err, errno, "%s", path);
  s->is_file = S_ISREG(st.st_mode);
  return S_ISDIR(st.st_mode) ? ims_fail(err, IMGSTORE_EINVALID, "%s: is a directory, not a tar file", path)
                             : IMGSTORE_OK;
}

static int32_t set_up(tar_source *s, const char *path, ims_error *err) {
  const imgstore_context_options *limits = &s->core->limits;
  const ims_tar_limits tar_limits = {limits->max_layer_entries, limits->max_path_depth};
  s->name = ims_strdup(&s->core->alloc, path ? path : "tar");
  s->in = ims_malloc(&s->core->alloc, PIECE);
  if (!s->name || !s->in)
    return ims_fail_nomem(err);
  int32_t rc = path ? open_path(s, path, err) : IMGSTORE_OK;
  if (!rc)
    rc = ims_tar_reader_new(&s->reader, &s->core->alloc, &tar_limits, err);
  if (!rc && s->base.has_blob)
    rc = ims_ingest_create(&s->raw, s->store, err);
  return rc;
}

int32_t ims_tar_source_new(ims_layer_source **source, const ims_layer_setup *setup, const char *path,
                           imgstore_tar_read_fn read, void *user_data, uint32_t flags, ims_error *err) {
  ims_core *core = setup->store->core;
  *source = NULL;
  tar_source *s = ims_calloc(&core->alloc, 1, sizeof *s);
  if (!s)
    return ims_fail_nomem(err);
  s->base = (ims_layer_source){&tar_source_type, !path, (flags & IMGSTORE_ADD_AS_IS) != 0, 0};
  s->core = ims_core_ref(core);
  s->store = setup->store;
  s->fd = s->format = -1;
  s->read = read;
  s->user_data = user_data;
  s->rewrite = setup->clamp && !s->base.has_blob;
  s->clamp_time = setup->clamp_time;
  ims_hash_init(&s->diff_hash, IMS_HASH_SHA256);
  ims_buf_init(&s->header, &core->alloc, HEADER_MAX);
  int32_t rc = set_up(s, path, err);
  if (rc) {
    free_source(&s->base);
    return rc;
  }
  *source = &s->base;
  return IMGSTORE_OK;
}
