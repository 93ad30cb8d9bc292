/*
 * compress/gzip_header.c (L1) - the header of a gzip member as a state machine over bytes. It exists because ISA-L
 * forgets the optional fields of a header that is cut between two calls. It must not know the deflate data.
 */
#include "compress/gzip_header.h"

enum { FLAG_CHECK = 0x02, FLAG_EXTRA = 0x04, FLAG_NAME = 0x08, FLAG_COMMENT = 0x10, FLAGS_RESERVED = 0xe0 };
enum { METHOD_DEFLATE = 8, FIXED_TAIL = 6 /* time, extra flags, system */ };

/* In the order of the header. */
enum {
  FIELD_MAGIC_1,
  FIELD_MAGIC_2,
  FIELD_METHOD,
  FIELD_FLAGS,
  FIELD_TAIL,
  FIELD_EXTRA_SIZE,
  FIELD_EXTRA,
  FIELD_NAME,
  FIELD_COMMENT,
  FIELD_CHECK,
  FIELD_DONE
};

void ims_gzip_header_init(ims_gzip_header *h, uint32_t (*crc32)(uint32_t, const uint8_t *, size_t)) {
  *h = (ims_gzip_header){.crc32 = crc32};
}

bool ims_gzip_header_begun(const ims_gzip_header *h) {
  return h->field != FIELD_MAGIC_1 && h->field != FIELD_DONE;
}

static int bad(ims_gzip_header *h, const char *why) {
  h->why = why;
  return IMS_GZIP_HEADER_BAD;
}

/* Enters the first field from `field` on that this header has. */
static void enter(ims_gzip_header *h, int32_t field) {
  static const uint8_t flag_of[] = {[FIELD_EXTRA_SIZE] = FLAG_EXTRA,
                                    [FIELD_EXTRA] = FLAG_EXTRA,
                                    [FIELD_NAME] = FLAG_NAME,
                                    [FIELD_COMMENT] = FLAG_COMMENT,
                                    [FIELD_CHECK] = FLAG_CHECK};
  if (field == FIELD_EXTRA) {
    h->left = h->value;
    if (!h->left)
      field++;
  }
  while (field > FIELD_TAIL && field < FIELD_DONE && !(h->flags & flag_of[field]))
    field++;
  if (field == FIELD_TAIL)
    h->left = FIXED_TAIL;
  if (field == FIELD_EXTRA_SIZE || field == FIELD_CHECK) {
    h->left = 2;
    h->value = 0;
  }
  h->field = field;
}

/* A number of two bytes, lowest first. True when it is complete. */
static bool take_number(ims_gzip_header *h, uint8_t byte) {
  h->value = (uint16_t)(h->value | (h->left == 2 ? byte : byte << 8));
  return --h->left == 0;
}

static int take_byte(ims_gzip_header *h, uint8_t byte) {
  if (h->field != FIELD_CHECK)
    h->crc = h->crc32(h->crc, &byte, 1);
  switch (h->field) {
  case FIELD_MAGIC_1:
  case FIELD_MAGIC_2:
    if (byte != (h->field == FIELD_MAGIC_1 ? 0x1f : 0x8b))
      return bad(h, "not a gzip header");
    enter(h, h->field + 1);
    break;
  case FIELD_METHOD:
    if (byte != METHOD_DEFLATE)
      return bad(h, "unknown compression method");
    enter(h, FIELD_FLAGS);
    break;
  case FIELD_FLAGS:
    h->flags = byte;
    if (byte & FLAGS_RESERVED)
      return bad(h, "unknown header flags");
    enter(h, FIELD_TAIL);
    break;
  case FIELD_TAIL:
  case FIELD_EXTRA:
    if (--h->left == 0)
      enter(h, h->field + 1);
    break;
  case FIELD_EXTRA_SIZE:
    if (take_number(h, byte))
      enter(h, FIELD_EXTRA);
    break;
  case FIELD_NAME:
  case FIELD_COMMENT:
    if (!byte)
      enter(h, h->field + 1);
    break;
  case FIELD_CHECK:
    if (!take_number(h, byte))
      break;
    if (h->value != (h->crc & 0xffff))
      return bad(h, "header checksum mismatch");
    enter(h, FIELD_DONE);
    break;
  }
  return h->field == FIELD_DONE ? IMS_GZIP_HEADER_DONE : IMS_GZIP_HEADER_MORE;
}

int ims_gzip_header_read(ims_gzip_header *h, const uint8_t *data, size_t size, size_t *used) {
  int rc = IMS_GZIP_HEADER_MORE;
  *used = 0;
  while (rc == IMS_GZIP_HEADER_MORE && *used < size)
    rc = take_byte(h, data[(*used)++]);
  return rc;
}
