/*
 * tests/fuzz/fuzz_decoder.c - the decoders on arbitrary bytes: no crash, no standstill, limits hold, and the two gzip
 * engines agree. The first byte says how the rest is cut.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compress/decoder.h"
#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OUTPUT = 1 << 20, ROOM = 2 << 20 };

typedef struct result {
  int32_t rc;
  size_t size;
  uint8_t *data;
  ims_error err;
} result;

static void require(int condition) {
  if (!condition)
    __builtin_trap();
}

/* Memory that ends at a page nobody may touch: the engines have assembly, which no sanitizer watches. */
typedef struct fence {
  uint8_t *end;
} fence;

static uint8_t *before(fence *f, size_t size) {
  if (!f->end) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *memory = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED && !mprotect(memory + ROOM, page, PROT_NONE));
    f->end = memory + ROOM;
  }
  return f->end - size;
}

static int32_t feed(ims_decoder *d, const uint8_t *data, size_t size, size_t room, result *r) {
  static fence in, out;
  uint8_t *copy = before(&in, size), *space = before(&out, room);
  memcpy(copy, data, size);
  int32_t rc = IMGSTORE_OK;
  size_t at = 0, used, made;
  do {
    rc = ims_decoder_run(d, copy + at, size - at, &used, space, room, &made, &r->err);
    require(used <= size - at && made <= room && made <= ROOM - r->size);
    require(rc || used || made || at == size);
    memcpy(r->data + r->size, space, made);
    at += used;
    r->size += made;
  } while (!rc && (at < size || made));
  return rc;
}

static result decode(int32_t format, int32_t engine, const uint8_t *data, size_t size, size_t step, size_t room) {
  static const ims_decoder_limits limits = {MAX_OUTPUT, 1100, 1 << 20};
  result r = {.data = malloc(ROOM), .err = IMS_ERROR_INIT};
  ims_decoder *d;
  r.rc = ims_decoder_new(&d, &ims_alloc_default, format, engine, &limits, &r.err);
  for (size_t at = 0; !r.rc && at < size; at += step)
    r.rc = feed(d, data + at, size - at < step ? size - at : step, room, &r);
  if (!r.rc)
    r.rc = ims_decoder_finish(d, &r.err);
  require(r.size <= MAX_OUTPUT + 1);
  ims_decoder_free(d);
  return r;
}

#if IMS_HAVE_ISAL
static void compare(const result *zlib, const result *isal) {
  /* ISA-L takes Huffman codes that leave bit patterns unused, see gzip_isal.c. */
  if (zlib->rc == IMGSTORE_EFORMAT && strstr(zlib->err.message, " set at byte "))
    return;
  if (zlib->rc == IMGSTORE_ELIMIT || isal->rc == IMGSTORE_ELIMIT)
    return; /* how far an engine decodes ahead of a fault is its own */
  require(zlib->rc == isal->rc);
  require(zlib->rc || (zlib->size == isal->size && !memcmp(zlib->data, isal->data, zlib->size)));
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const size_t steps[] = {SIZE_MAX / 2, 1, 2, 3, 7, 64, 300, 4096};
  static const size_t rooms[] = {65536, 1, 5, 300};
  if (size < 1 || size > ROOM)
    return 0;
  const size_t step = steps[data[0] % 8], room = rooms[data[0] / 8 % 4];
  data++;
  size--;
  if (ims_format_sniff(data, size) == IMS_FORMAT_ZSTD) {
    result z = decode(IMS_FORMAT_ZSTD, IMS_ENGINE_BEST, data, size, step, room);
    free(z.data);
    return 0;
  }
  result zlib = decode(IMS_FORMAT_GZIP, IMS_ENGINE_ZLIB, data, size, step, room);
#if IMS_HAVE_ISAL
  result isal = decode(IMS_FORMAT_GZIP, IMS_ENGINE_ISAL, data, size, step, room);
  compare(&zlib, &isal);
  free(isal.data);
#endif
  free(zlib.data);
  return 0;
}
