/* session.c - the context and the store of a run: where the store is, how many workers there are. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

enum { MOST_WORKERS = 64, DEFAULT_WORKERS = 4 };

static void log_line(void *user_data, int32_t level, const char *line) {
  cli *c = user_data;
  static const char *const names[] = {"", "error", "warning", "info", "debug"};
  cli_message(c, "%s: %s", level > 0 && level < 5 ? names[level] : "log", line);
}

static uint32_t default_workers(void) {
  cpu_set_t set;
  int online = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return online < DEFAULT_WORKERS ? (uint32_t)online : DEFAULT_WORKERS;
}

int cli_open_context(cli *c) {
  imgstore_context_options options;
  imgstore_error *error = NULL;
  if (c->context)
    return CLI_OK;
  imgstore_context_options_init(&options, sizeof options);
  uint64_t workers = default_workers();
  if (!cli_number(c, OPTION_WORKERS, 0, MOST_WORKERS, &workers))
    return CLI_USAGE;
  options.workers = (uint32_t)workers;
  options.log = log_line;
  options.log_data = c;
  options.log_level = option_given(&c->args, OPTION_DEBUG) ? IMGSTORE_LOG_DEBUG : IMGSTORE_LOG_ERROR;
  int32_t code = imgstore_context_new(&options, &c->context, &error);
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

/* --- where the store is --------------------------------------------------------------------------------------------
 */

static bool is_set(const char *value) {
  return value && *value;
}

static int find_root(cli *c) {
  const char *given = option_value(&c->args, OPTION_ROOT), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
  if (given && !*given)
    return cli_usage(c, "--root is empty");
  if (!given)
    given = getenv("IMGSTORE_ROOT");
  if (is_set(given))
    text_add(&c->root, given);
  else if (geteuid() == 0)
    text_add(&c->root, "/var/lib/imgstore");
  else if (is_set(data) && data[0] == '/')
    text_addf(&c->root, "%s/imgstore", data);
  else if (is_set(home))
    text_addf(&c->root, "%s/.local/share/imgstore", home);
  else
    return cli_usage(c, "where is the store? Give --root DIR or set IMGSTORE_ROOT");
  return c->root.failed ? cli_out_of_memory(c) : CLI_OK;
}

/* Makes the folders that lead to the store; what goes wrong shows when the store is opened. */
static void make_parents(const char *path) {
  char *copy = strdup(path);
  for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(copy, 0755);
    *slash = '/';
  }
  free(copy);
}

int cli_open_store(cli *c, int how) {
  imgstore_store_options options;
  imgstore_error *error = NULL;
  int status = find_root(c);
  if (status == CLI_OK)
    status = cli_open_context(c);
  if (status != CLI_OK)
    return status;
  imgstore_store_options_init(&options, sizeof options);
  if (how == STORE_CREATE)
    make_parents(text_get(&c->root));
  else
    options.flags |= IMGSTORE_STORE_NO_CREATE;
  if (how == STORE_READ)
    options.flags |= IMGSTORE_STORE_READ_ONLY;
  int32_t code = imgstore_store_open(c->context, text_get(&c->root), &options, &c->store, &error);
  if (code == IMGSTORE_EACCESS && how == STORE_LEASE) {
    imgstore_error_free(error);
    error = NULL;
    options.flags |= IMGSTORE_STORE_READ_ONLY;
    code = imgstore_store_open(c->context, text_get(&c->root), &options, &c->store, &error);
  }
  if (code == IMGSTORE_ENOTFOUND && how != STORE_CREATE) {
    imgstore_error_free(error);
    return CLI_OK;
  }
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

int cli_need_store(cli *c, int how) {
  int status = cli_open_store(c, how);
  if (status == CLI_OK && !c->store) {
    cli_message(c, "there are no images yet: no store at %s", text_get(&c->root));
    return CLI_FAILED;
  }
  return status;
}

int cli_open_rootfs_dir(cli *c, int how) {
  imgstore_rootfs_dir_options options;
  imgstore_error *error = NULL;
  imgstore_rootfs_dir_options_init(&options, sizeof options);
  if (how != STORE_CREATE)
    options.flags |= IMGSTORE_ROOTFS_DIR_NO_CREATE;
  if (how == STORE_READ)
    options.flags |= IMGSTORE_ROOTFS_DIR_READ_ONLY;
  int32_t code = imgstore_rootfs_dir_open(c->store, NULL, &options, &c->rootfs_dir, &error);
  if (code == IMGSTORE_EACCESS && how == STORE_LEASE) {
    imgstore_error_free(error);
    error = NULL;
    options.flags |= IMGSTORE_ROOTFS_DIR_READ_ONLY;
    code = imgstore_rootfs_dir_open(c->store, NULL, &options, &c->rootfs_dir, &error);
  }
  if (code == IMGSTORE_ENOTFOUND && how != STORE_CREATE) {
    imgstore_error_free(error);
    return CLI_OK;
  }
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

int cli_need_rootfs_dir(cli *c, bool create) {
  int status = cli_need_store(c, STORE_WRITE);
  if (status == CLI_OK)
    status = cli_open_rootfs_dir(c, create ? STORE_CREATE : STORE_WRITE);
  if (status != CLI_OK || c->rootfs_dir)
    return status;
  cli_message(c, "there are no instances yet");
  return CLI_FAILED;
}

int cli_open_rootfs(cli *c, const char *name, imgstore_rootfs **rootfs) {
  imgstore_error *error = NULL;
  int status = c->rootfs_dir ? CLI_OK : cli_need_rootfs_dir(c, false);
  int32_t code = status == CLI_OK ? imgstore_rootfs_open(c->rootfs_dir, name, rootfs, &error) : IMGSTORE_OK;
  return code ? cli_failed(c, code, &error) : status;
}

void cli_close(cli *c) {
  imgstore_rootfs_dir_close(c->rootfs_dir);
  imgstore_store_close(c->store);
  imgstore_context_free(c->context);
  text_free(&c->root);
}

/* --- images --------------------------------------------------------------------------------------------------------
 */

/* Of an index without this machine's platform: the first image that is there. */
static int32_t find_any_platform(cli *c, const char *name, imgstore_image **image) {
  imgstore_manifest *manifest = NULL;
  int32_t code = imgstore_store_manifest(c->store, name, &manifest, NULL);
  if (code == IMGSTORE_OK)
    code = IMGSTORE_ENOTFOUND;
  for (size_t i = 0; manifest && code != IMGSTORE_OK && i < imgstore_manifest_count(manifest); i++) {
    const char *platform = imgstore_descriptor_platform(imgstore_manifest_entry(manifest, i));
    if (platform && imgstore_manifest_kind(manifest) == IMGSTORE_MANIFEST_INDEX)
      code = imgstore_store_image(c->store, name, platform, image, NULL);
  }
  imgstore_manifest_unref(manifest);
  return code;
}

int32_t cli_find_image(cli *c, const char *name, const char *platform, imgstore_image **image, imgstore_error **error) {
  int32_t code = imgstore_store_image(c->store, name, platform, image, error);
  if (code != IMGSTORE_ENOTFOUND || platform || find_any_platform(c, name, image) != IMGSTORE_OK)
    return code;
  if (error) {
    imgstore_error_free(*error);
    *error = NULL;
  }
  return IMGSTORE_OK;
}
