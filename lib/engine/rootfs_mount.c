/*
 * engine/rootfs_mount.c (L4) - mounting an instance: the kernel's overlay, a program, or a copy, in that order.
 *
 * Where it will be mounted is written down before it is, and what the mount is afterwards, so that a crash at any
 * instant leaves a record that can be checked against the system.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "engine/instance_copy.h"
#include "engine/mount_fuse.h"
#include "engine/rootfs.h"
#include "rootfs/id_mapped.h"
#include "rootfs/mount_overlay.h"

enum {
  ATTR_READ_ONLY = 0x1,
  ATTR_NOSUID = 0x2,
  ATTR_NODEV = 0x4,
  ATTR_NOEXEC = 0x8,
  PATH_ROOM = 4096,
  LOCK_INTERVAL = 100
};

typedef struct mount_job {
  imgstore_operation op; /**< first member */
  imgstore_rootfs *rootfs;
  imgstore_mount_options options; /**< its texts are copies */
  char *target_path, *fuse_program;
  int lock;
  int target; /**< the directory to mount on */
  ims_mount_state state;
  ims_error why; /**< why the ways tried so far did not work */
  int32_t way;
  ims_instance_copy *copy;
} mount_job;

static const ims_instance *instance_of(const mount_job *j) {
  return &j->rootfs->instance;
}

static const char *path_of(const imgstore_rootfs *rootfs, int32_t which) {
  return ims_buf_text(&rootfs->text) + rootfs->path[which];
}

/* --- what is there ---------------------------------------------------------------------------------------------------
 */

static int32_t refuse_mounted(const mount_job *j, int32_t found, ims_error *err) {
  const char *name = instance_of(j)->name;
  if (found == IMS_MOUNT_HERE)
    return ims_fail(err, IMGSTORE_EBUSY, "rootfs %s: it is mounted already, on %s", name,
                    ims_buf_text(&j->state.target));
  return ims_fail(err, IMGSTORE_EBUSY, "rootfs %s: it is mounted in another mount namespace", name);
}

static int32_t open_target(mount_job *j, ims_error *err) {
  const ims_instance *i = instance_of(j);
  const ims_core *core = j->op.core;
  if (!j->target_path) {
    int32_t rc = ims_instance_open_dir(i, IMS_INSTANCE_MERGED, &j->target, err);
    return rc;
  }
  j->target = core->sys->openat(AT_FDCWD, j->target_path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (j->target < 0)
    return errno == ENOTDIR
               ? ims_fail(err, IMGSTORE_EINVALID, "rootfs %s: %s is not a directory", i->name, j->target_path)
               : ims_fail_os(err, errno, "rootfs %s: cannot open %s", i->name, j->target_path);
  if (ims_is_mount_root(core, j->target))
    return ims_fail(err, IMGSTORE_EBUSY, "rootfs %s: something is mounted on %s already", i->name, j->target_path);
  return IMGSTORE_OK;
}

/* The absolute path of the target, as the kernel sees it. */
static int32_t find_target_path(mount_job *j, ims_error *err) {
  char proc[40], path[PATH_ROOM];
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", j->target);
  ssize_t size = j->op.core->sys->readlinkat(AT_FDCWD, proc, path, sizeof path);
  if (size <= 0 || size == (ssize_t)sizeof path || path[0] != '/')
    return ims_fail_os(err, size < 0 ? errno : ENAMETOOLONG, "rootfs %s: cannot find the path of its target",
                       instance_of(j)->name);
  ims_buf_clear(&j->state.target);
  return ims_buf_append(&j->state.target, path, (size_t)size) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

/* --- overlay
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct lower_source {
  const mount_job *job;
  int mapped; /* the rootfs directory with id maps laid over it; -1: as it is */
} lower_source;

/* A layer directory, seen through the map. */
static int open_mapped(const lower_source *s, const char *name) {
  char path[PATH_ROOM];
  int size = snprintf(path, sizeof path, "layers/%s/" IMS_LAYER_ROOT, name);
  if (size < 0 || (size_t)size >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  const ims_sys *sys = s->job->op.core->sys;
  const ims_open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = IMS_RESOLVE_BENEATH | IMS_RESOLVE_NO_SYMLINKS};
  return sys->openat2(s->mapped, path, &how);
}

static int32_t open_lower(void *data, size_t i, int *fd, ims_error *err) {
  lower_source *s = data;
  const ims_instance *instance = instance_of(s->job);
  if (s->mapped < 0)
    return ims_instance_open_lower(instance, i, fd, err);
  const ims_instance_record *r = &instance->record;
  const char *name = r->layers[r->layer_count - 1 - i];
  *fd = open_mapped(s, name);
  return *fd < 0 ? ims_fail_os(err, errno, "rootfs %s: cannot open layer %s", instance->name, name) : IMGSTORE_OK;
}

static int32_t map_ids(const mount_job *j, int *mapped, bool *refused, ims_error *err) {
  const ims_instance *instance = instance_of(j);
  const ims_instance_record *r = &instance->record;
  const ims_id_ranges ranges = {r->uid_map, r->gid_map, r->uid_map_count, r->gid_map_count};
  int user_namespace = j->options.user_namespace, made = -1;
  if (user_namespace < 0) {
    int32_t rc = ims_user_namespace_make(j->op.core, &ranges, &made, err);
    *refused = rc != IMGSTORE_OK;
    if (rc)
      return rc;
    user_namespace = made;
  }
  int failed = ims_id_mapped_clone(j->op.core, instance->dir->root, user_namespace, mapped);
  if (made >= 0)
    j->op.core->sys->close(made);
  *refused = failed != 0;
  return failed ? ims_fail_os(err, failed, "rootfs %s: cannot lay its id maps over the layers", instance->name)
                : IMGSTORE_OK;
}

static unsigned attributes_of(const mount_job *j) {
  uint32_t flags = j->options.flags;
  return (flags & IMGSTORE_MOUNT_NOSUID ? ATTR_NOSUID : 0u) | (flags & IMGSTORE_MOUNT_NODEV ? ATTR_NODEV : 0u) |
         (flags & IMGSTORE_MOUNT_NOEXEC ? ATTR_NOEXEC : 0u) | (flags & IMGSTORE_MOUNT_READ_ONLY ? ATTR_READ_ONLY : 0u);
}

static int32_t call_overlay(mount_job *j, const lower_source *source, bool *refused, ims_error *err) {
  const ims_instance *instance = instance_of(j);
  const ims_sys *sys = j->op.core->sys;
  ims_overlay overlay = {.lower_count = instance->record.layer_count,
                         .open_lower = open_lower,
                         .data = (void *)(uintptr_t)source,
                         .upper = -1,
                         .work = -1,
                         .user_xattrs = instance->record.user_xattrs,
                         .attributes = attributes_of(j),
                         .name = instance->name};
  int32_t rc = IMGSTORE_OK;
  if (!instance->record.read_only) {
    rc = ims_instance_open_dir(instance, IMS_INSTANCE_UPPER, &overlay.upper, err);
    if (!rc)
      rc = ims_instance_open_dir(instance, IMS_INSTANCE_WORK, &overlay.work, err);
  }
  if (!rc)
    rc = ims_overlay_mount(j->op.core, &overlay, j->target, refused, err);
  if (overlay.upper >= 0)
    sys->close(overlay.upper);
  if (overlay.work >= 0)
    sys->close(overlay.work);
  return rc;
}

static int32_t mount_by_overlay(mount_job *j, bool *refused, ims_error *err) {
  lower_source source = {j, -1};
  const ims_instance *instance = instance_of(j);
  if (!instance->record.user_xattrs && !instance->dir->trusted) {
    *refused = true;
    return ims_fail(err, IMGSTORE_EUNSUPPORTED,
                    "rootfs %s: cannot mount: its layers are in the form for the system's administrator",
                    instance->name);
  }
  int32_t rc = instance->record.id_mapped ? map_ids(j, &source.mapped, refused, err) : IMGSTORE_OK;
  if (!rc)
    rc = call_overlay(j, &source, refused, err);
  if (source.mapped >= 0)
    j->op.core->sys->close(source.mapped);
  return rc;
}

/* --- a program
 * -------------------------------------------------------------------------------------------------------- */

static int32_t mount_by_fuse(mount_job *j, bool *refused, ims_error *err) {
  const imgstore_rootfs *r = j->rootfs;
  const ims_instance *instance = instance_of(j);
  int fd;
  /* The program takes paths: that they are the directories they should be is looked at before. */
  static const char *const own[] = {IMS_INSTANCE_UPPER, IMS_INSTANCE_WORK};
  for (size_t i = 0; i < 2 && !instance->record.read_only; i++) {
    int32_t rc = ims_instance_open_dir(instance, own[i], &fd, err);
    if (rc)
      return rc;
    j->op.core->sys->close(fd);
  }
  if (instance->record.id_mapped) {
    *refused = true;
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "rootfs %s: fuse-overlayfs lays no id maps over layers",
                    instance->name);
  }
  const ims_fuse_mount mount = {.program = j->fuse_program,
                                .options = ims_buf_text(&r->text) + r->options,
                                .flags = j->options.flags,
                                .target = ims_buf_text(&j->state.target),
                                .name = instance->name,
                                .cancelled = &j->op.cancelled};
  return ims_fuse_mount_run(j->op.core, &mount, refused, err);
}

/* --- ways in turn
 * ------------------------------------------------------------------------------------------------------ */

/* Looks at what is mounted now; the descriptor that was mounted on shows what is below. */
static void note_mount(mount_job *j) {
  int fd = j->op.core->sys->openat(AT_FDCWD, ims_buf_text(&j->state.target),
                                   O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0)
    return;
  ims_mount_state_note(&j->state, j->op.core, fd);
  j->op.core->sys->close(fd);
  /* Without it the record made before tells the place at least. */
  ims_mount_state_complete(&j->state, j->op.core, instance_of(j)->fd);
}

typedef int32_t (*mount_way)(mount_job *j, bool *refused, ims_error *err);

/* *tried: it did not work, but another way may. */
static int32_t try_way(mount_job *j, int32_t way, mount_way mount, bool *refused) {
  ims_error err = IMS_ERROR_INIT;
  *refused = false;
  j->state.way = way;
  ims_mount_state_here(&j->state, j->op.core);
  int32_t rc = ims_mount_state_save(&j->state, j->op.core, instance_of(j)->fd, instance_of(j)->name, &err);
  if (!rc) {
    rc = mount(j, refused, &err);
    if (rc)
      ims_mount_state_remove(j->op.core, instance_of(j)->fd);
  }
  if (!rc) {
    j->way = way;
    note_mount(j);
  } else if (!*refused) {
    j->op.err = err;
  } else if (!j->why.code) {
    j->why = err;
  }
  return rc;
}

static bool may_use(const mount_job *j, int32_t way) {
  return !j->options.ways || j->options.ways & (uint32_t)way;
}

static int32_t nothing_works(mount_job *j) {
  if (!j->why.code)
    return ims_fail(&j->op.err, IMGSTORE_EUNSUPPORTED, "rootfs %s: cannot mount: no way is allowed",
                    instance_of(j)->name);
  j->op.err = j->why;
  j->op.err.code = IMGSTORE_EUNSUPPORTED;
  return IMGSTORE_EUNSUPPORTED;
}

/* --- a copy
 * ------------------------------------------------------------------------------------------------------------ */

static int32_t enter_copy(mount_job *j) {
  ims_error *err = &j->op.err;
  int fd;
  int32_t rc = ims_instance_open_dir(instance_of(j), IMS_INSTANCE_COPY, &fd, err);
  if (rc)
    return rc;
  j->op.core->sys->close(fd);
  j->state.way = j->way = IMGSTORE_MOUNT_COPY;
  ims_mount_state_here(&j->state, j->op.core);
  ims_buf_clear(&j->state.target);
  if (ims_buf_printf(&j->state.target, "%s/" IMS_INSTANCE_COPY, path_of(j->rootfs, IMGSTORE_ROOTFS_PATH_OWN)))
    return ims_fail_nomem(err);
  return ims_mount_state_save(&j->state, j->op.core, instance_of(j)->fd, instance_of(j)->name, err);
}

static int32_t start_copy(mount_job *j) {
  if (j->target_path) {
    if (j->why.code)
      ims_error_prefix(&j->why, "a copy cannot be put on %s", j->target_path);
    else
      ims_fail(&j->why, IMGSTORE_EUNSUPPORTED, "rootfs %s: a copy cannot be put on %s", instance_of(j)->name,
               j->target_path);
    return nothing_works(j);
  }
  int32_t rc =
      ims_instance_copy_new(&j->copy, &j->op, instance_of(j), path_of(j->rootfs, IMGSTORE_ROOTFS_PATH_OWN), &j->op.err);
  return rc ? rc : IMGSTORE_EAGAIN;
}

static int32_t advance_copy(mount_job *j, int64_t now) {
  int32_t rc = ims_instance_copy_advance(j->copy, now);
  return rc ? rc : enter_copy(j);
}

/* --- the job
 * ------------------------------------------------------------------------------------------------------------ */

/* IMGSTORE_EAGAIN: another job has the lock, perhaps for as long as a copy takes. */
static int32_t prepare(mount_job *j) {
  ims_error *err = &j->op.err;
  int32_t found;
  int32_t rc = ims_rootfs_dir_writable(instance_of(j)->dir, err);
  if (!rc)
    rc = ims_instance_lock(instance_of(j), &j->lock, err);
  if (!rc)
    rc = ims_rootfs_find_mount(instance_of(j), &j->state, &found, err);
  if (!rc && found != IMS_MOUNT_NOWHERE)
    rc = refuse_mounted(j, found, err);
  if (!rc)
    rc = open_target(j, err);
  return rc ? rc : find_target_path(j, err);
}

static int32_t mount_now(mount_job *j) {
  bool refused = true;
  int32_t rc = prepare(j);
  if (rc)
    return rc;
  /* What is in a copy is nowhere else. */
  if (ims_instance_has_copy(instance_of(j))) {
    if (may_use(j, IMGSTORE_MOUNT_COPY) && !j->target_path)
      return enter_copy(j);
    ims_fail(&j->why, IMGSTORE_EUNSUPPORTED, "rootfs %s: its files were copied: that is how it stays",
             instance_of(j)->name);
    return nothing_works(j);
  }
  rc = IMGSTORE_EUNSUPPORTED;
  if (may_use(j, IMGSTORE_MOUNT_OVERLAY))
    rc = try_way(j, IMGSTORE_MOUNT_OVERLAY, mount_by_overlay, &refused);
  if (rc && refused && may_use(j, IMGSTORE_MOUNT_FUSE))
    rc = try_way(j, IMGSTORE_MOUNT_FUSE, mount_by_fuse, &refused);
  if (!rc || !refused)
    return rc;
  return may_use(j, IMGSTORE_MOUNT_COPY) ? start_copy(j) : nothing_works(j);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  mount_job *j = (mount_job *)op;
  return j->copy ? advance_copy(j, now) : mount_now(j);
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  const mount_job *j = (mount_job *)op;
  (void)now;
  return !j->copy ? LOCK_INTERVAL : op->progress ? IMS_PROGRESS_INTERVAL : -1;
}

static void end(imgstore_operation *op, int32_t result) {
  mount_job *j = (mount_job *)op;
  (void)result;
  ims_instance_copy_free(j->copy);
  j->copy = NULL;
  ims_dir_file_close(op->core, &j->target);
  ims_dir_file_close(op->core, &j->lock);
}

static void destroy(imgstore_operation *op) {
  mount_job *j = (mount_job *)op;
  ims_core *core = ims_core_ref(op->core);
  ims_mount_state_free(&j->state);
  ims_free(&core->alloc, j->target_path);
  ims_free(&core->alloc, j->fuse_program);
  ims_rootfs_unref(j->rootfs);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job mount_job_type = {advance, timeout, end, destroy};

int32_t ims_operation_mount_way(const imgstore_operation *op) {
  return op->job == &mount_job_type ? ((const mount_job *)op)->way : IMGSTORE_MOUNT_NONE;
}

static int32_t copy_texts(mount_job *j, const imgstore_mount_options *options, ims_error *err) {
  const ims_alloc *alloc = &j->op.core->alloc;
  j->fuse_program = ims_strdup(alloc, options->fuse_program ? options->fuse_program : IMS_FUSE_PROGRAM);
  j->target_path = options->target ? ims_strdup(alloc, options->target) : NULL;
  return j->fuse_program && (j->target_path || !options->target) ? IMGSTORE_OK : ims_fail_nomem(err);
}

int32_t ims_rootfs_mount_start(imgstore_operation **op, imgstore_rootfs *rootfs, const imgstore_mount_options *options,
                               ims_error *err) {
  ims_core *core = rootfs->core;
  *op = NULL;
  mount_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&j->op, core, &mount_job_type, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  j->rootfs = ims_rootfs_ref(rootfs);
  j->options = *options;
  j->lock = j->target = -1;
  ims_mount_state_init(&j->state, core);
  rc = copy_texts(j, options, err);
  if (!rc && !(j->op.report = ims_report_new(&core->alloc)))
    rc = ims_fail_nomem(err);
  if (rc) {
    ims_operation_free(&j->op);
    return rc;
  }
  *op = &j->op;
  return IMGSTORE_OK;
}
