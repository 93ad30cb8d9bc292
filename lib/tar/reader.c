/*
 * tar/reader.c (L1) - the push parser: cuts the input into header blocks, extension headers and content, and says what
 * it found. It knows where things are; tar/entry.h knows what they mean.
 *
 * Two drafts take turns: the entry that the caller looks at stays valid while the headers of the next one come in.
 */
#include "tar/reader.h"

#include <string.h>

#include "tar/entry.h"

/* PAX, GNU long name and link, and some global headers: nothing that a writer makes needs more in a row. */
enum { EXTENSIONS_MAX = 8 };

enum {
  STATE_HEADER,    /* at a header block */
  STATE_ZERO,      /* after one zero block */
  STATE_EXTENSION, /* in the content of an extension header */
  STATE_SPARSE,    /* at an extension block of an old GNU sparse map */
  STATE_MAP,       /* in a sparse map at the front of the content */
  STATE_ENTRY,     /* everything before the content was read */
  STATE_DATA,
  STATE_ENTRY_END,
  STATE_SKIP, /* padding */
  STATE_END,  /* end marker read, not reported */
  STATE_DONE
};

/* What a step says: go on, an event is there, more input is needed; negative: failed. */
enum { GO = 0, EVENT = 1, WAIT = 2 };

typedef struct input {
  const uint8_t *data;
  size_t size;
} input;

struct ims_tar_reader {
  ims_alloc alloc;
  ims_tar_limits limits;
  ims_tar_codec *codec;
  int state;
  int32_t failed;    /* sticky: a reader that lost its place never finds it again */
  uint64_t position; /* of the next byte in the archive */
  uint64_t header_at;
  uint8_t block[IMS_TAR_BLOCK_SIZE]; /* gathers a block that the input does not hold in one piece */
  size_t gathered;
  uint64_t left;    /* bytes of an extension header, a map's file, or padding still to come */
  uint64_t padding; /* after them */
  uint8_t extension;
  ims_buf *extension_text;
  unsigned extensions; /* in a row */
  uint64_t entries;
  ims_buf global_text;
  ims_pax global;
  ims_tar_draft drafts[2];
  unsigned turn;
  uint64_t segment_left; /* of the segment that DATA is in */
  uint64_t segment_offset;
  size_t segment_next;
};

static ims_tar_draft *draft_of(ims_tar_reader *r) {
  return &r->drafts[r->turn];
}

static uint64_t padding_of(uint64_t size) {
  return (IMS_TAR_BLOCK_SIZE - size % IMS_TAR_BLOCK_SIZE) % IMS_TAR_BLOCK_SIZE;
}

int32_t ims_tar_reader_new(ims_tar_reader **reader, const ims_alloc *alloc, const ims_tar_limits *limits,
                           ims_error *err) {
  *reader = NULL;
  ims_tar_reader *r = ims_calloc(alloc, 1, sizeof *r);
  if (!r)
    return ims_fail_nomem(err);
  r->alloc = *alloc;
  r->limits = *limits;
  ims_buf_init(&r->global_text, &r->alloc, IMS_TAR_EXTENSION_MAX);
  ims_tar_draft_init(&r->drafts[0], &r->alloc);
  ims_tar_draft_init(&r->drafts[1], &r->alloc);
  r->codec = ims_tar_codec_new(&r->alloc);
  if (!r->codec) {
    ims_tar_reader_free(r);
    return ims_fail_nomem(err);
  }
  *reader = r;
  return IMGSTORE_OK;
}

void ims_tar_reader_free(ims_tar_reader *r) {
  if (!r)
    return;
  const ims_alloc alloc = r->alloc;
  ims_tar_codec_free(r->codec, &alloc);
  ims_buf_free(&r->global_text);
  ims_tar_draft_free(&r->drafts[0]);
  ims_tar_draft_free(&r->drafts[1]);
  ims_free(&alloc, r);
}

void ims_tar_reader_reset(ims_tar_reader *r) {
  ims_tar_draft_clear(&r->drafts[0]);
  ims_tar_draft_clear(&r->drafts[1]);
  ims_buf_clear(&r->global_text);
  memset(&r->global, 0, sizeof r->global);
  r->state = STATE_HEADER;
  r->failed = IMGSTORE_OK;
  r->position = r->header_at = r->left = r->padding = r->entries = r->segment_left = 0;
  r->gathered = r->segment_next = 0;
  r->extensions = 0;
  r->turn = 0;
}

static const uint8_t *take(ims_tar_reader *r, input *in, size_t size) {
  const uint8_t *data = in->data;
  in->data += size;
  in->size -= size;
  r->position += size;
  return data;
}

static size_t at_most(const input *in, uint64_t size) {
  return size < in->size ? (size_t)size : in->size;
}

/* The next 512 bytes, in place when the input holds all of them; NULL when they are not there yet. */
static const uint8_t *take_block(ims_tar_reader *r, input *in) {
  if (!r->gathered && in->size >= IMS_TAR_BLOCK_SIZE)
    return take(r, in, IMS_TAR_BLOCK_SIZE);
  size_t part = at_most(in, IMS_TAR_BLOCK_SIZE - r->gathered);
  if (part)
    memcpy(r->block + r->gathered, take(r, in, part), part);
  r->gathered += part;
  if (r->gathered < IMS_TAR_BLOCK_SIZE)
    return NULL;
  r->gathered = 0;
  return r->block;
}

static int32_t begin_extension(ims_tar_reader *r, const uint8_t *block, uint8_t typeflag, ims_error *err) {
  const ims_tar_field field = ims_tar_layout[IMS_TAR_FIELD_SIZE];
  int64_t size;
  if (!ims_tar_number(block + field.offset, field.size, &size) || size < 0)
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed size of an extension header");
  if (size > IMS_TAR_EXTENSION_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "extension header of %lld bytes", (long long)size);
  if (++r->extensions > EXTENSIONS_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %d extension headers in a row", EXTENSIONS_MAX);
  if (typeflag == 'g' && ims_tar_draft_has_extension(draft_of(r))) /* some readers forget those at a global header */
    return ims_fail(err, IMGSTORE_EFORMAT, "global PAX header between an extension header and its entry");
  r->extension = typeflag;
  r->extension_text = &r->global_text;
  r->left = (uint64_t)size;
  r->padding = padding_of((uint64_t)size);
  r->state = STATE_EXTENSION;
  return typeflag == 'g' ? GO : ims_tar_draft_extension(draft_of(r), typeflag, &r->extension_text, err);
}

static int32_t begin_entry(ims_tar_reader *r, const uint8_t *block, ims_error *err) {
  ims_tar_draft *draft = draft_of(r);
  bool more;
  if (r->entries++ >= r->limits.max_entries)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %llu entries", (unsigned long long)r->limits.max_entries);
  int32_t rc = ims_tar_draft_header(draft, block, &r->global, &more, err);
  r->extensions = 0;
  r->left = draft->stored;
  r->padding = padding_of(draft->stored);
  r->state = more ? STATE_SPARSE : draft->map_in_content ? STATE_MAP : STATE_ENTRY;
  return rc;
}

static int32_t step_header(ims_tar_reader *r, input *in, ims_error *err) {
  if (!r->gathered)
    r->header_at = r->position;
  const uint8_t *block = take_block(r, in);
  if (!block)
    return WAIT;
  if (ims_tar_block_is_zero(block)) {
    r->state = r->state == STATE_ZERO ? STATE_END : STATE_ZERO;
    return r->extensions ? ims_fail(err, IMGSTORE_EFORMAT, "extension header without an entry") : GO;
  }
  if (r->state == STATE_ZERO)
    return ims_fail(err, IMGSTORE_EFORMAT, "data after a single zero block");
  if (!ims_tar_checksum_ok(r->codec, block))
    return ims_fail(err, IMGSTORE_EFORMAT, "wrong checksum");
  const uint8_t typeflag = ims_tar_typeflag(block);
  if (typeflag == 'x' || typeflag == 'g' || typeflag == 'L' || typeflag == 'K')
    return begin_extension(r, block, typeflag, err);
  return begin_entry(r, block, err);
}

static int32_t end_extension(ims_tar_reader *r, ims_error *err) {
  r->state = STATE_SKIP;
  r->left = r->padding;
  if (r->extension != 'g')
    return ims_tar_draft_extension_done(draft_of(r), r->extension, err);
  int32_t rc = IMGSTORE_OK;
  if (r->global_text.size)
    rc = ims_pax_parse_global(&r->global, r->global_text.data, r->global_text.size, err);
  ims_buf_free(&r->global_text);
  return rc;
}

static int32_t step_extension(ims_tar_reader *r, input *in, ims_error *err) {
  size_t part = at_most(in, r->left);
  if (part && ims_buf_append(r->extension_text, take(r, in, part), part) != IMGSTORE_OK)
    return ims_fail_nomem(err);
  r->left -= part;
  return r->left ? WAIT : end_extension(r, err);
}

static int32_t step_sparse(ims_tar_reader *r, input *in, ims_error *err) {
  bool more;
  const uint8_t *block = take_block(r, in);
  if (!block)
    return WAIT;
  int32_t rc = ims_tar_map_add_extension(&draft_of(r)->map, block, &more, err);
  if (!more)
    r->state = STATE_ENTRY;
  return rc;
}

/* A map of decimal lines fills whole blocks at the front of the content, and counts as content. */
static int32_t step_map(ims_tar_reader *r, input *in, ims_error *err) {
  ims_tar_draft *draft = draft_of(r);
  bool complete;
  if (!r->left)
    return ims_fail(err, IMGSTORE_EFORMAT, "sparse map longer than the content");
  const uint8_t *block = take_block(r, in);
  if (!block)
    return WAIT;
  size_t used;
  size_t part = r->left < IMS_TAR_BLOCK_SIZE ? (size_t)r->left : IMS_TAR_BLOCK_SIZE;
  int32_t rc = ims_tar_map_add_lines(&draft->map, block, part, &used, &complete, err);
  r->left -= part;
  if (rc != IMGSTORE_OK || !complete)
    return rc;
  draft->stored = r->left;
  if (part < IMS_TAR_BLOCK_SIZE)
    r->padding = 0; /* went by with the block */
  r->state = STATE_ENTRY;
  return GO;
}

static int32_t step_entry(ims_tar_reader *r, ims_tar_event *event, ims_error *err) {
  ims_tar_draft *draft = draft_of(r);
  int32_t rc = ims_tar_draft_finish(draft, r->limits.max_path_depth, err);
  if (rc != IMGSTORE_OK)
    return rc;
  r->segment_next = 0;
  r->segment_offset = 0;
  r->segment_left = draft->entry.segments ? 0 : draft->entry.data_size;
  r->state = STATE_DATA;
  event->type = IMS_TAR_ENTRY;
  event->entry = &draft->entry;
  return EVENT;
}

static int32_t step_data(ims_tar_reader *r, input *in, ims_tar_event *event) {
  const ims_tar_entry *entry = &draft_of(r)->entry;
  if (!r->segment_left && r->segment_next < entry->segment_count) {
    r->segment_offset = entry->segments[r->segment_next].offset;
    r->segment_left = entry->segments[r->segment_next++].size;
  }
  if (!r->segment_left) {
    r->state = STATE_ENTRY_END;
    return GO;
  }
  if (!in->size)
    return WAIT;
  event->type = IMS_TAR_DATA;
  event->entry = entry;
  event->data_offset = r->segment_offset;
  event->data_size = at_most(in, r->segment_left);
  event->data = take(r, in, event->data_size);
  r->segment_offset += event->data_size;
  r->segment_left -= event->data_size;
  return EVENT;
}

static int32_t step_entry_end(ims_tar_reader *r, ims_tar_event *event) {
  event->type = IMS_TAR_ENTRY_END;
  event->entry = &draft_of(r)->entry;
  r->left = r->padding;
  r->state = r->left ? STATE_SKIP : STATE_HEADER;
  r->turn ^= 1;
  ims_tar_draft_clear(draft_of(r));
  return EVENT;
}

static int32_t step_skip(ims_tar_reader *r, input *in) {
  size_t part = at_most(in, r->left);
  take(r, in, part);
  r->left -= part;
  if (r->left)
    return WAIT;
  r->state = STATE_HEADER;
  return GO;
}

static int32_t step_end(ims_tar_reader *r, ims_tar_event *event) {
  event->type = IMS_TAR_END;
  r->state = STATE_DONE;
  return EVENT;
}

static int32_t step(ims_tar_reader *r, input *in, ims_tar_event *event, ims_error *err) {
  switch (r->state) {
  case STATE_HEADER:
  case STATE_ZERO:
    return step_header(r, in, err);
  case STATE_EXTENSION:
    return step_extension(r, in, err);
  case STATE_SPARSE:
    return step_sparse(r, in, err);
  case STATE_MAP:
    return step_map(r, in, err);
  case STATE_ENTRY:
    return step_entry(r, event, err);
  case STATE_DATA:
    return step_data(r, in, event);
  case STATE_ENTRY_END:
    return step_entry_end(r, event);
  case STATE_SKIP:
    return step_skip(r, in);
  case STATE_END:
    return step_end(r, event);
  default:
    take(r, in, in->size);
    return WAIT;
  }
}

/* Says where: by name once there is one, else by position. */
static int32_t locate(const ims_tar_reader *r, int32_t code, ims_error *err) {
  const ims_tar_draft *draft = &r->drafts[r->turn];
  const char *name = draft->has_header ? ims_tar_draft_name(draft) : "";
  if (!err || code == IMGSTORE_ENOMEM)
    return code;
  if (*name)
    ims_error_prefix(err, "entry \"%.256s\"", name);
  else
    ims_error_prefix(err, "tar header at byte %llu", (unsigned long long)r->header_at);
  return code;
}

int32_t ims_tar_reader_next(ims_tar_reader *r, const uint8_t *data, size_t size, size_t *used, ims_tar_event *event,
                            ims_error *err) {
  input in = {data, size};
  int32_t rc = GO;
  *used = 0;
  memset(event, 0, sizeof *event);
  if (r->failed)
    return ims_fail(err, r->failed, "tar reader used after it failed");
  while (rc == GO)
    rc = step(r, &in, event, err);
  *used = size - in.size;
  if (rc >= 0)
    return IMGSTORE_OK;
  r->failed = rc;
  return locate(r, rc, err);
}

int32_t ims_tar_reader_finish(ims_tar_reader *r, ims_error *err) {
  if (r->failed)
    return ims_fail(err, r->failed, "tar reader used after it failed");
  if (r->state == STATE_END || r->state == STATE_DONE)
    return IMGSTORE_OK;
  if ((r->state == STATE_HEADER || r->state == STATE_ZERO) && !r->gathered && !r->extensions)
    return IMGSTORE_OK;
  if (r->state == STATE_SKIP && !r->extensions) /* some writers leave out the padding of the last entry */
    return IMGSTORE_OK;
  const int32_t code = ims_fail(err, IMGSTORE_EFORMAT, "archive is truncated");
  r->failed = code;
  return r->state == STATE_HEADER ? code : locate(r, code, err);
}
