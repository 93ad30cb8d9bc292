/*
 * instances.c - what creating, mounting, unmounting and deleting instances takes, in milliseconds.
 *
 * usage: bench_instances STORE IMAGE COUNT
 *
 * Prints medians, and next to the mount that of the bare system calls of an overlay mount with the same directories, so
 * that the library's own part can be told from the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <imgstore/imgstore.h>

enum { MOST = 2000, STEPS = 5 };
enum { CREATE, MOUNT, UMOUNT, DELETE, BARE };

static double samples[STEPS][MOST];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(int32_t code, imgstore_error *error, const char *what) {
  if (!code)
    return;
  fprintf(stderr, "%s: %s\n", what, imgstore_error_message(error));
  exit(1);
}

static int compare(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, compare);
  return values[count / 2];
}

static void option(int fs, unsigned command, const char *key, const char *value, int fd) {
  if (syscall(SYS_fsconfig, fs, command, key, value, fd)) {
    fprintf(stderr, "fsconfig %s: %s\n", key ? key : "create", strerror(errno));
    exit(1);
  }
}

static void directory(int fs, const char *key, const char *path) {
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  option(fs, 5, key, NULL, fd);
  close(fd);
}

/* The same mount by nothing but system calls. */
static double bare_mount(const imgstore_rootfs *rootfs) {
  const char *merged = imgstore_rootfs_path(rootfs, IMGSTORE_ROOTFS_PATH_MERGED);
  double start = now();
  int fs = (int)syscall(SYS_fsopen, "overlay", 1);
  for (size_t i = 0; i < imgstore_rootfs_lower_count(rootfs); i++)
    directory(fs, "lowerdir+", imgstore_rootfs_lower(rootfs, i));
  directory(fs, "upperdir", imgstore_rootfs_path(rootfs, IMGSTORE_ROOTFS_PATH_UPPER));
  directory(fs, "workdir", imgstore_rootfs_path(rootfs, IMGSTORE_ROOTFS_PATH_WORK));
  option(fs, 6, NULL, NULL, 0);
  int made = (int)syscall(SYS_fsmount, fs, 1, 0);
  if (syscall(SYS_move_mount, made, "", AT_FDCWD, merged, 4)) {
    perror("move_mount");
    exit(1);
  }
  close(made);
  close(fs);
  double took = now() - start;
  umount2(merged, 0);
  return took;
}

static void measure(imgstore_rootfs_dir *dir, imgstore_image *image, const char *name, int i) {
  imgstore_rootfs *rootfs = NULL;
  imgstore_error *error = NULL;
  double at = now();
  must(imgstore_rootfs_create(dir, image, name, NULL, &rootfs, &error), error, "create");
  samples[CREATE][i] = now() - at;
  samples[BARE][i] = bare_mount(rootfs);
  at = now();
  must(imgstore_rootfs_mount(rootfs, NULL, NULL, &error), error, "mount");
  samples[MOUNT][i] = now() - at;
  at = now();
  must(imgstore_rootfs_umount(rootfs, 0, &error), error, "umount");
  samples[UMOUNT][i] = now() - at;
  imgstore_rootfs_close(rootfs);
}

int main(int argc, char **argv) {
  static const char *const names[STEPS] = {"create", "mount", "umount", "delete", "bare mount"};
  imgstore_context *context = NULL;
  imgstore_store *store = NULL;
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;
  char name[32];
  int count = argc == 4 ? atoi(argv[3]) : 0;
  if (count < 1 || count > MOST)
    return fprintf(stderr, "usage: %s STORE IMAGE COUNT\n", argv[0]), 2;
  must(imgstore_context_new(NULL, &context, &error), error, "context");
  must(imgstore_store_open(context, argv[1], NULL, &store, &error), error, "store");
  must(imgstore_store_image(store, argv[2], NULL, &image, &error), error, "image");
  for (int flushed = 1; flushed >= 0; flushed--) {
    imgstore_rootfs_dir *dir = NULL;
    imgstore_rootfs_dir_options options;
    imgstore_rootfs_dir_options_init(&options, sizeof options);
    options.durability = flushed ? IMGSTORE_DURABILITY_BATCH : IMGSTORE_DURABILITY_NONE;
    must(imgstore_rootfs_dir_open(store, NULL, &options, &dir, &error), error, "rootfs directory");
    must(imgstore_rootfs_create(dir, image, "bench-keeps-the-layers", NULL, NULL, &error), error, "create");
    for (int i = 0; i < count; i++) {
      snprintf(name, sizeof name, "bench-%d", i);
      measure(dir, image, name, i);
    }
    for (int i = 0; i < count; i++) {
      snprintf(name, sizeof name, "bench-%d", i);
      double at = now();
      must(imgstore_rootfs_delete(dir, name, 0, NULL, &error), error, "delete");
      samples[DELETE][i] = now() - at;
    }
    must(imgstore_rootfs_delete(dir, "bench-keeps-the-layers", 0, NULL, &error), error, "delete");
    printf("%s, %s, %d instances:", argv[2], flushed ? "flushed" : "not flushed", count);
    for (int step = 0; step < STEPS; step++)
      printf(" %s %.2f ms", names[step], median(samples[step], count));
    printf("\n");
    imgstore_rootfs_dir_close(dir);
  }
  imgstore_image_unref(image);
  imgstore_store_close(store);
  imgstore_context_free(context);
  return 0;
}
