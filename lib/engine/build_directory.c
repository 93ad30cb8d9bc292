/*
 * engine/build_directory.c (L4) - a directory of the machine as the source of a layer.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "engine/build_layer.h"
#include "rootfs/diff.h"
#include "tar/whiteout.h"

enum { BUDGET = 1 << 20 };

typedef struct directory_source {
  ims_layer_source base; /**< first member */
  ims_core *core;
  int fd;
  ims_diff *diff;
} directory_source;

static directory_source *source_of(ims_layer_source *source) {
  return (directory_source *)source;
}

static int32_t put(void *data, const void *bytes, size_t size, ims_error *err) {
  return ims_layer_writer_put(data, bytes, size, err);
}

static int32_t step(ims_layer_source *source, ims_layer_writer *writer, ims_error *err) {
  return ims_diff_run(source_of(source)->diff, BUDGET, put, writer, err);
}

static void free_source(ims_layer_source *source) {
  directory_source *s = source_of(source);
  ims_core *core = s->core;
  ims_diff_free(s->diff);
  if (s->fd >= 0)
    core->sys->close(s->fd);
  ims_free(&core->alloc, s);
  ims_core_unref(core);
}

static const ims_layer_source_type directory_source_type = {step, NULL, free_source};

/* The directory of the machine itself is an entry only below a prefix: the root of an image is not made over because
   a directory that was made for one build is private. */
static int32_t open_directory(directory_source *s, const ims_layer_setup *setup, const char *path, const char *prefix,
                              uint32_t flags, ims_error *err) {
  const ims_diff_options options = {.marks = IMS_MARKS_NONE,
                                    .rules = {.fixed_owner = (flags & IMGSTORE_ADD_ROOT_OWNED) != 0,
                                              .clamp = setup->clamp,
                                              .latest = setup->clamp_time},
                                    .prefix = prefix,
                                    .root = prefix && *prefix,
                                    .always_root = prefix && *prefix};
  s->fd = s->core->sys->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (s->fd < 0)
    return ims_fail_os(err, errno, "%s", path);
  return ims_diff_new(&s->diff, s->core, s->fd, &options, setup->report, err);
}

int32_t ims_directory_source_new(ims_layer_source **source, const ims_layer_setup *setup, const char *path,
                                 const char *prefix, uint32_t flags, ims_error *err) {
  ims_core *core = setup->store->core;
  *source = NULL;
  directory_source *s = ims_calloc(&core->alloc, 1, sizeof *s);
  if (!s)
    return ims_fail_nomem(err);
  s->base.type = &directory_source_type;
  s->core = ims_core_ref(core);
  s->fd = -1;
  int32_t rc = open_directory(s, setup, path, prefix, flags, err);
  if (rc) {
    free_source(&s->base);
    return rc;
  }
  *source = &s->base;
  return IMGSTORE_OK;
}

/* Words between slashes, none of them "..", and none that a layer reads as a whiteout. */
int32_t ims_clean_prefix(const ims_alloc *alloc, const char *prefix, char **clean, ims_error *err) {
  int kind = IMS_WHITEOUT_NONE;
  *clean = ims_malloc(alloc, strlen(prefix) + 1);
  if (!*clean)
    return ims_fail_nomem(err);
  bool climbs = false;
  for (const char *s = prefix; *s; s += strcspn(s, "/")) {
    s += strspn(s, "/");
    climbs = climbs || (strcspn(s, "/") == 2 && s[0] == '.' && s[1] == '.');
  }
  bool bad = climbs || (*prefix && strspn(prefix, "/.") != strlen(prefix) &&
                        ims_layer_path(prefix, *clean, &kind, NULL)) || kind != IMS_WHITEOUT_NONE;
  if (!bad && strspn(prefix, "/.") == strlen(prefix))
    **clean = '\0';
  if (!bad)
    return IMGSTORE_OK;
  ims_free(alloc, *clean);
  *clean = NULL;
  return ims_fail(err, IMGSTORE_EINVALID, "\"%.200s\" is not a path in an image", prefix);
}
