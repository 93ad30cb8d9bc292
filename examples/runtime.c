/*
 * runtime.c - a container runtime: pulls an image, makes an instance of it, mounts it, runs a command in namespaces of
 * its own, makes an image of what that changed when it is asked to, and deletes the instance.
 *
 * usage (as root): example-runtime [--commit NAME] IMAGE COMMAND [ARGUMENT...]
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <imgstore/imgstore.h>

enum { STACK_SIZE = 256 * 1024, VARIABLES = 256 };

typedef struct container {
  const char *root; /* where the instance is mounted */
  const imgstore_image *image;
  char **command;
  const char *commit; /* the name of the image that it becomes, or NULL */
} container;

static int failed(const char *what, imgstore_error *error) {
  fprintf(stderr, "%s: %s\n", what, error ? imgstore_error_message(error) : strerror(errno));
  imgstore_error_free(error);
  return 1;
}

/* The first process of the container: the instance becomes its "/", and nothing else is left of the host's files. */
static int enter(void *data) {
  const container *c = data;
  const char *env[VARIABLES + 1] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  const char *cwd = imgstore_image_text(c->image, IMGSTORE_IMAGE_WORKING_DIR);
  size_t count = imgstore_image_item_count(c->image, IMGSTORE_IMAGE_ENV);
  for (size_t i = 0; i < count && i < VARIABLES; i++)
    env[i] = imgstore_image_item(c->image, IMGSTORE_IMAGE_ENV, i);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || chdir(c->root) || syscall(SYS_pivot_root, ".", ".") ||
      umount2(".", MNT_DETACH) || chdir("/") || sethostname("container", 9))
    return failed("cannot enter the root file system", NULL);
  mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  if (*cwd && ((mkdir(cwd, 0755) && errno != EEXIST) || chdir(cwd)))
    return failed(cwd, NULL);
  execvpe(c->command[0], c->command, (char *const *)env);
  return failed(c->command[0], NULL);
}

static int run(container *c) {
  int status, flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | SIGCHLD;
  char *stack = malloc(STACK_SIZE);
  pid_t pid = stack ? clone(enter, stack + STACK_SIZE, flags, c) : -1;
  if (pid < 0 || waitpid(pid, &status, 0) != pid)
    return failed("cannot start the container", NULL);
  free(stack);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Mounts the instance, runs the command in it, unmounts it and commits it. */
static int run_in(imgstore_rootfs *rootfs, container *c) {
  imgstore_mount_options options;
  imgstore_error *error = NULL;
  imgstore_mount_options_init(&options, sizeof options);
  options.ways = IMGSTORE_MOUNT_OVERLAY;
  options.flags = IMGSTORE_MOUNT_NODEV;
  if (imgstore_rootfs_mount(rootfs, &options, NULL, &error))
    return failed("mount", error);
  imgstore_rootfs_mounted(rootfs, &c->root);
  int status = run(c);
  if (imgstore_rootfs_umount(rootfs, 0, &error))
    return failed("umount", error);
  if (c->commit && imgstore_commit(rootfs, c->commit, NULL, NULL, NULL, &error))
    return failed("commit", error);
  return status;
}

static int run_image(imgstore_store *store, imgstore_image *image, const char *name, container *c) {
  imgstore_rootfs_dir *dir = NULL;
  imgstore_rootfs *rootfs = NULL;
  imgstore_error *error = NULL;
  char instance[32];
  int status = 1;
  imgstore_rootfs_options options;
  imgstore_rootfs_options_init(&options, sizeof options);
  options.image_name = name;
  snprintf(instance, sizeof instance, "run-%ld", (long)getpid());
  if (imgstore_rootfs_dir_open(store, NULL, NULL, &dir, &error))
    failed("rootfs directory", error);
  else if (imgstore_rootfs_create(dir, image, instance, &options, &rootfs, &error))
    failed("create", error);
  else
    status = run_in(rootfs, c);
  bool created = rootfs != NULL;
  imgstore_rootfs_close(rootfs); /* an open handle would keep the instance */
  error = NULL;
  if (created && imgstore_rootfs_delete(dir, instance, 0, NULL, &error))
    status = failed("delete", error);
  imgstore_rootfs_dir_close(dir);
  return status;
}

static int pull(imgstore_context *context, imgstore_store *store, const char *name, imgstore_image **image) {
  imgstore_reference *reference = NULL;
  imgstore_registry *registry = NULL;
  imgstore_error *error = NULL;
  int32_t code = imgstore_reference_parse(context, name, &reference, &error);
  if (!code)
    code = imgstore_registry_new(context, imgstore_reference_host(reference), NULL, &registry, &error);
  if (!code)
    code = imgstore_pull(store, registry, name, NULL, image, &error);
  imgstore_registry_free(registry);
  imgstore_reference_unref(reference);
  return code ? failed("pull", error) : 0;
}

int main(int argc, char **argv) {
  const char *path = getenv("IMGSTORE_ROOT");
  imgstore_context *context = NULL;
  imgstore_store *store = NULL;
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;
  bool commit = argc > 2 && strcmp(argv[1], "--commit") == 0;
  char **words = argv + (commit ? 3 : 1);
  if (argc - (words - argv) < 2)
    return fprintf(stderr, "usage: %s [--commit NAME] IMAGE COMMAND [ARGUMENT...]\n", argv[0]), 2;
  if (imgstore_context_new(NULL, &context, &error) ||
      imgstore_store_open(context, path ? path : "/var/lib/imgstore", NULL, &store, &error))
    return failed("store", error);
  int status = pull(context, store, words[0], &image);
  container c = {NULL, image, words + 1, commit ? argv[2] : NULL};
  if (status == 0)
    status = run_image(store, image, words[0], &c);
  imgstore_image_unref(image);
  imgstore_store_close(store);
  imgstore_context_free(context);
  return status;
}
