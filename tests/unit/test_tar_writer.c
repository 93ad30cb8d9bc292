/* tests/unit/test_tar_writer.c - headers that the writer makes, read back by the reader and by tar(1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "tar/writer.h"

enum { LONGEST = 1 << 16 };

static const ims_tar_limits wide = {1000000, 1000};

static ims_tar_entry file(const char *path, uint64_t size) {
  return (ims_tar_entry){.type = IMS_TAR_REGULAR,
                         .path = path,
                         .linkpath = "",
                         .mode = 0644,
                         .uid = 1,
                         .gid = 2,
                         .size = size,
                         .data_size = size,
                         .mtime = 1700000000};
}

static ims_buf archive(void) {
  ims_buf b;
  ims_buf_init(&b, &ims_alloc_default, SIZE_MAX / 4);
  return b;
}

static void put(ims_buf *out, const ims_tar_entry *entry) {
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = ims_tar_put_entry(out, entry, &err);
  assert_string_equal(err.message, "");
  assert_int_equal(rc, IMGSTORE_OK);
  assert_int_equal(out->size % 512, 0);
}

static void assert_same(const ims_tar_entry *a, const ims_tar_entry *b) {
  size_t length = strlen(b->path);
  assert_int_equal(a->type, b->type);
  assert_int_equal(strncmp(a->path, b->path, length), 0);
  assert_string_equal(a->path + length, b->type == IMS_TAR_DIRECTORY && b->path[length - 1] != '/' ? "/" : "");
  assert_string_equal(a->linkpath, b->linkpath);
  assert_int_equal(a->mode, b->mode);
  assert_true(a->uid == b->uid && a->gid == b->gid && a->size == b->size && a->data_size == b->data_size);
  assert_true(a->mtime == b->mtime && a->mtime_ns == b->mtime_ns);
  assert_true(a->major == b->major && a->minor == b->minor);
  assert_int_equal(a->xattr_count, b->xattr_count);
  for (size_t i = 0; i < a->xattr_count; i++) {
    assert_string_equal(a->xattrs[i].name, b->xattrs[i].name);
    assert_int_equal(a->xattrs[i].size, b->xattrs[i].size);
    assert_int_equal(memcmp(a->xattrs[i].value, b->xattrs[i].value, b->xattrs[i].size), 0);
  }
  assert_int_equal(a->segments != NULL, b->segments != NULL);
  assert_int_equal(a->segment_count, b->segment_count);
  for (size_t i = 0; i < a->segment_count; i++)
    assert_true(a->segments[i].offset == b->segments[i].offset && a->segments[i].size == b->segments[i].size);
}

/* Writes the entry, reads its header back; its content is not there. */
static void round_trip(const ims_tar_entry *entry) {
  ims_buf out = archive();
  ims_tar_reader *reader;
  ims_tar_event event;
  ims_error err = IMS_ERROR_INIT;
  size_t used;
  put(&out, entry);
  assert_int_equal(ims_tar_reader_new(&reader, &ims_alloc_default, &wide, &err), 0);
  int32_t rc = ims_tar_reader_next(reader, (const uint8_t *)out.data, out.size, &used, &event, &err);
  assert_string_equal(err.message, "");
  assert_int_equal(rc, 0);
  assert_int_equal(event.type, IMS_TAR_ENTRY);
  assert_same(event.entry, entry);
  assert_int_equal(used, out.size);
  ims_tar_reader_free(reader);
  ims_buf_free(&out);
}

static const char *text_of(char letter, size_t size) {
  static char text[LONGEST + 1];
  memset(text, letter, size);
  text[size] = '\0';
  return text;
}

static void types_come_back(void **state) {
  ims_tar_entry e = file("a/b", 5);
  round_trip(&e);
  e.size = e.data_size = 0;
  for (e.type = IMS_TAR_HARDLINK; e.type <= IMS_TAR_FIFO; e.type++) {
    const bool link = e.type == IMS_TAR_HARDLINK || e.type == IMS_TAR_SYMLINK;
    const bool device = e.type == IMS_TAR_CHAR || e.type == IMS_TAR_BLOCK;
    e.linkpath = link ? "../target" : "";
    e.major = device ? 4095 : 0;
    e.minor = device ? 1048575 : 0;
    e.mode = 07777;
    round_trip(&e);
  }
}

static void paths_of_any_length_come_back(void **state) {
  static char path[LONGEST];
  for (size_t size = 1; size < 700; size++) {
    for (size_t i = 0; i < size; i++)
      path[i] = i % 60 == 59 && i + 1 < size ? '/' : (char)('a' + i % 26);
    path[size] = '\0';
    ims_tar_entry e = file(path, 0);
    round_trip(&e);
    e.type = IMS_TAR_DIRECTORY;
    round_trip(&e);
  }
  ims_tar_entry e = file(text_of('n', 255), 0);
  round_trip(&e);
  e = file("odd \n\t\x01\xff\xc3\x28 name", 0);
  round_trip(&e);
  e = file("ab\n \xff", 0);
  e.type = IMS_TAR_SYMLINK;
  e.linkpath = text_of('l', 100);
  round_trip(&e);
  e.linkpath = text_of('l', 4000);
  round_trip(&e);
}

/* ustar splits a path at a slash; what has no slash at the right place needs PAX. */
static void short_paths_need_no_extension(void **state) {
  static char path[300];
  ims_buf out = archive();
  memset(path, 'a', 255);
  path[154] = '/';
  ims_tar_entry e = file(path, 0);
  put(&out, &e);
  assert_int_equal(out.size, 512);
  path[154] = 'a';
  path[155] = '/';
  path[256] = '\0';
  path[255] = 'z';
  put(&out, &e);
  assert_int_equal(out.size, 1024);
  path[155] = 'a';
  path[156] = '/';
  put(&out, &e);
  assert_int_equal(out.size, 1024 + 1536);
  ims_buf_free(&out);
}

static void numbers_and_times_come_back(void **state) {
  static const int64_t times[] = {0, 1, -1, -2, 077777777777, 0100000000000, INT64_MAX, -INT64_MAX, -86400, 1700000000};
  static const uint32_t fractions[] = {0, 1, 999999999, 500000000, 100};
  static const uint64_t sizes[] = {0, 511, 512, 077777777777, 0100000000000, (uint64_t)1 << 40};
  static const uint64_t ids[] = {0, 07777777, 010000000, 4294967295u, (uint64_t)1 << 40};
  ims_tar_entry e = file("f", 0);
  for (size_t i = 0; i < sizeof times / sizeof *times; i++)
    for (size_t j = 0; j < sizeof fractions / sizeof *fractions; j++) {
      e.mtime = times[i];
      e.mtime_ns = fractions[j];
      round_trip(&e);
    }
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    e = file("f", sizes[i]);
    round_trip(&e);
  }
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    e = file("f", 0);
    e.uid = ids[i];
    e.gid = ids[sizeof ids / sizeof *ids - 1 - i];
    round_trip(&e);
  }
}

/* The size that a reader without PAX sees is the size that the others see. */
static void large_sizes_stand_in_the_header_too(void **state) {
  ims_buf out = archive();
  ims_tar_entry e = file("f", (uint64_t)1 << 40);
  put(&out, &e);
  const uint8_t *field = (const uint8_t *)out.data + out.size - 512 + 124;
  static const uint8_t want[12] = {0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
  assert_memory_equal(field, want, sizeof want);
  ims_buf_free(&out);
}

static void xattrs_come_back(void **state) {
  static const uint8_t bytes[] = {0, 1, '\n', '=', 255, 0};
  const ims_tar_xattr list[] = {{"security.capability", bytes, sizeof bytes},
                                {"user.empty", bytes, 0},
                                {"user.with=equals and %", bytes, sizeof bytes},
                                {"user.long", (const uint8_t *)text_of('v', LONGEST), LONGEST}};
  ims_tar_entry e = file("f", 3);
  e.xattrs = list;
  e.xattr_count = 4;
  round_trip(&e);
}

static void sparse_files_come_back(void **state) {
  static ims_tar_segment many[IMS_TAR_WRITE_SEGMENTS_MAX];
  const ims_tar_segment holes[] = {{4096, 100}, {8192, 1}, {1 << 20, 4096}};
  ims_tar_entry e = file("dir/sparse", (1 << 20) + 4096);
  e.segments = holes;
  e.segment_count = 3;
  e.data_size = 4197;
  round_trip(&e);
  e.size += 12345; /* ends in a hole: one more segment is written, of no bytes */
  round_trip(&e);
  e.size = 1 << 30;
  e.segment_count = 0;
  e.data_size = 0;
  round_trip(&e);
  for (size_t i = 0; i < IMS_TAR_WRITE_SEGMENTS_MAX; i++)
    many[i] = (ims_tar_segment){i * 8192, 4096};
  e = file(text_of('s', 3000), (uint64_t)IMS_TAR_WRITE_SEGMENTS_MAX * 8192);
  e.segments = many;
  e.segment_count = IMS_TAR_WRITE_SEGMENTS_MAX;
  e.data_size = (uint64_t)IMS_TAR_WRITE_SEGMENTS_MAX * 4096;
  round_trip(&e);
}

static void refuse(const ims_tar_entry *entry, int32_t code, const char *message) {
  ims_error err = IMS_ERROR_INIT;
  ims_buf out = archive();
  assert_int_equal(ims_tar_put_entry(&out, entry, &err), code);
  assert_non_null(strstr(err.message, message));
  assert_int_equal(out.size, 0);
  ims_buf_free(&out);
}

static void bad_entries_are_refused(void **state) {
  const ims_tar_segment past[] = {{0, 10}}, back[] = {{5, 1}, {0, 1}};
  const ims_tar_xattr nameless = {"", (const uint8_t *)"", 0};
  static uint8_t huge[(1 << 20) + 1];
  const ims_tar_xattr large = {"user.x", huge, sizeof huge};
  ims_tar_entry good = file("f", 2), e;
  refuse((e = good, e.path = "", &e), IMGSTORE_EINVALID, "empty path");
  refuse((e = good, e.path = "d/", &e), IMGSTORE_EINVALID, "entry \"d/\": a slash");
  refuse((e = good, e.type = 0, &e), IMGSTORE_EINVALID, "unknown type");
  refuse((e = good, e.type = 8, &e), IMGSTORE_EINVALID, "unknown type");
  refuse((e = good, e.linkpath = "x", &e), IMGSTORE_EINVALID, "no link");
  refuse((e = good, e.type = IMS_TAR_SYMLINK, &e), IMGSTORE_EINVALID, "without a target");
  refuse((e = good, e.type = IMS_TAR_FIFO, &e), IMGSTORE_EINVALID, "content");
  refuse((e = good, e.mode = 010000, &e), IMGSTORE_EINVALID, "mode");
  refuse((e = good, e.mtime_ns = 1000000000, &e), IMGSTORE_EINVALID, "time");
  refuse((e = good, e.uid = UINT64_MAX, &e), IMGSTORE_EINVALID, "number");
  refuse((e = good, e.size = UINT64_MAX, &e), IMGSTORE_EINVALID, "number");
  refuse((e = good, e.data_size = 1, &e), IMGSTORE_EINVALID, "segments");
  refuse((e = good, e.segments = past, e.segment_count = 1, &e), IMGSTORE_EINVALID, "segments");
  refuse((e = good, e.segments = back, e.segment_count = 2, e.size = 9, &e), IMGSTORE_EINVALID, "segments");
  refuse((e = good, e.segments = back, e.segment_count = IMS_TAR_WRITE_SEGMENTS_MAX + 1, &e), IMGSTORE_ELIMIT,
         "sparse");
  refuse((e = good, e.xattrs = &nameless, e.xattr_count = 1, &e), IMGSTORE_EINVALID, "name");
  refuse((e = good, e.xattrs = &large, e.xattr_count = 1, &e), IMGSTORE_ELIMIT, "too long");
  e = file("dev", 0);
  e.type = IMS_TAR_CHAR;
  e.major = 4096;
  refuse(&e, IMGSTORE_EINVALID, "device");
}

static void every_allocation_fails(void **state) {
  const ims_tar_segment holes[] = {{4096, 100}};
  const ims_tar_xattr list[] = {{"user.a=b", (const uint8_t *)"v", 1}, {"user.c", (const uint8_t *)"w", 1}};
  ims_tar_entry e = file(text_of('p', 300), 8192);
  e.segments = holes;
  e.segment_count = 1;
  e.data_size = 100;
  e.xattrs = list;
  e.xattr_count = 2;
  failing f = {.failed = true};
  for (size_t left = 0; f.failed; left++) {
    ims_alloc alloc = failing_alloc(&f, left);
    ims_buf out;
    ims_buf_init(&out, &alloc, SIZE_MAX / 4);
    int32_t rc = ims_tar_put_entry(&out, &e, NULL);
    assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    ims_buf_free(&out);
    assert_int_equal(f.live, 0);
  }
}

/* --- tar(1) ----------------------------------------------------------------------------------------------------------
 */

static void content(ims_buf *out, const ims_tar_entry *entry, const char *bytes) {
  put(out, entry);
  ims_buf_append(out, bytes, entry->data_size);
  while (out->size % 512)
    ims_buf_putc(out, 0);
}

static void run_in(const char *directory, const char *command) {
  char line[2048];
  snprintf(line, sizeof line, "cd %s && %s", directory, command);
  if (system(line) != 0)
    fail_msg("%s", command);
}

static void tar_program_reads_it(void **state) {
  char directory[] = "/tmp/imgstore-tar-XXXXXX", line[1000], data[4096 + 100];
  const ims_tar_segment holes[] = {{4096, 4096}, {1 << 20, 100}};
  ims_buf out = archive();
  if (system("tar --version >/dev/null 2>&1") != 0)
    skip();
  assert_non_null(mkdtemp(directory));
  memset(data, 'x', sizeof data);
  ims_tar_entry e = file("d", 0);
  e.type = IMS_TAR_DIRECTORY;
  e.mode = 0755;
  content(&out, &e, "");
  e = file(text_of('n', 200), 5);
  e.mtime = -2;
  e.mtime_ns = 500000000;
  content(&out, &e, "hello");
  e = file("d/sparse", (1 << 20) + 8192);
  e.segments = holes;
  e.segment_count = 2;
  e.data_size = sizeof data;
  content(&out, &e, data);
  e = file("d/link", 0);
  e.type = IMS_TAR_HARDLINK;
  e.linkpath = "d/sparse";
  content(&out, &e, "");
  assert_int_equal(ims_tar_put_end(&out), 0);
  snprintf(line, sizeof line, "%s/a.tar", directory);
  FILE *f = fopen(line, "wb");
  assert_int_equal(fwrite(out.data, 1, out.size, f), out.size);
  assert_int_equal(fclose(f), 0);
  run_in(directory, "tar -xf a.tar --warning=all 2>messages && ! grep -v 'implausibly old\\|time stamp' messages");
  snprintf(line, sizeof line, "n=%.200s; test \"$(cat $n)\" = hello && test \"$(stat -c %%.9Y $n)\" = -1.500000000",
           text_of('n', 200));
  run_in(directory, line);
  run_in(directory,
         "test $(stat -c %s d/sparse) = 1056768 && test $(stat -c %h d/sparse) = 2 && "
         "test \"$(tr -d '\\000' <d/sparse | wc -c)\" = 4196 && test \"$(tail -c +4097 d/sparse | head -c 2)\" = xx");
  snprintf(line, sizeof line, "rm -rf %s", directory);
  assert_int_equal(system(line), 0);
  ims_buf_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(types_come_back),
      cmocka_unit_test(paths_of_any_length_come_back),
      cmocka_unit_test(short_paths_need_no_extension),
      cmocka_unit_test(numbers_and_times_come_back),
      cmocka_unit_test(large_sizes_stand_in_the_header_too),
      cmocka_unit_test(xattrs_come_back),
      cmocka_unit_test(sparse_files_come_back),
      cmocka_unit_test(bad_entries_are_refused),
      cmocka_unit_test(every_allocation_fails),
      cmocka_unit_test(tar_program_reads_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
