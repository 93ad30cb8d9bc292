/*
 * tests/fuzz/fuzz_archive.c - loading an archive, and copying from it: whatever it holds, either its images are in the
 * store, whole, or nothing is. Headers get right checksums first, or nothing behind them would be reached.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/report.h"
#include "imgstore/imgstore.h"
#include "store/store.h"

enum { BLOCK = 512, MAGIC_OFFSET = 257, CHECKSUM_OFFSET = 148, CHECKSUM_SIZE = 8 };

static void require(int condition) {
  if (!condition)
    abort();
}

static void set_checksum(uint8_t *block) {
  unsigned sum = 0;
  memset(block + CHECKSUM_OFFSET, ' ', CHECKSUM_SIZE);
  for (size_t i = 0; i < BLOCK; i++)
    sum += block[i];
  for (int i = 5; i >= 0; i--, sum >>= 3)
    block[CHECKSUM_OFFSET + i] = (uint8_t)('0' + (sum & 7));
  block[CHECKSUM_OFFSET + 6] = '\0';
}

static int32_t count_blob(void *data, const char *digest, uint64_t size) {
  (void)digest;
  (void)size;
  ++*(size_t *)data;
  return 0;
}

static size_t blobs_of(imgstore_store *store) {
  size_t count = 0;
  require(store->storage.blob_list(store->storage.user_data, count_blob, &count) == IMGSTORE_OK);
  return count;
}

static void check_whole(imgstore_store *store) {
  imgstore_report *damage = NULL;
  require(imgstore_store_verify(store, IMGSTORE_VERIFY_FULL, &damage, NULL) == IMGSTORE_OK);
  imgstore_report_free(damage);
}

static void load(imgstore_context *context, int fd) {
  imgstore_store *store;
  imgstore_report *names = NULL;
  imgstore_load_options options;
  require(imgstore_store_open_memory(context, 0, &store, NULL) == IMGSTORE_OK);
  imgstore_load_options_init(&options, sizeof options);
  options.fd = fd;
  if (imgstore_load(store, NULL, &options, &names, NULL) == IMGSTORE_OK) {
    check_whole(store);
    require(imgstore_report_count(names) > 0);
  } else {
    require(blobs_of(store) == 0);
  }
  imgstore_report_free(names);
  imgstore_store_close(store);
}

/* All platforms: what the archive has of them is told by its documents alone. */
static void copy(imgstore_context *context, int fd) {
  imgstore_store *store;
  imgstore_place from, to;
  imgstore_copy_options options;
  char path[32];
  require(imgstore_store_open_memory(context, 0, &store, NULL) == IMGSTORE_OK);
  imgstore_place_init(&from, sizeof from);
  imgstore_place_init(&to, sizeof to);
  imgstore_copy_options_init(&options, sizeof options);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  from.archive = path;
  from.context = context;
  to.store = store;
  to.name = "a/b:1";
  options.flags = IMGSTORE_COPY_ALL_PLATFORMS;
  options.temp_dir = "/dev/shm";
  if (imgstore_copy(&from, &to, &options, NULL, NULL) == IMGSTORE_OK)
    check_whole(store);
  imgstore_store_close(store);
}

static void try(const uint8_t *data, size_t size) {
  imgstore_context *context;
  imgstore_context_options limits;
  imgstore_context_options_init(&limits, sizeof limits);
  limits.max_layer_output = 16 << 20;
  limits.max_zstd_window = 1 << 20;
  require(imgstore_context_new(&limits, &context, NULL) == IMGSTORE_OK);
  int fd = memfd_create("archive", MFD_CLOEXEC);
  require(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
  load(context, fd);
  copy(context, fd);
  close(fd);
  imgstore_context_free(context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *summed = malloc(size + 1);
  require(summed != NULL);
  memcpy(summed, data, size);
  for (size_t at = 0; at + BLOCK <= size; at += BLOCK)
    if (memcmp(summed + at + MAGIC_OFFSET, "ustar", 5) == 0)
      set_checksum(summed + at);
  try(data, size);
  try(summed, size);
  free(summed);
  return 0;
}
