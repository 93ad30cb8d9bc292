/*
 * rootfs/instance_hold.c (L3) - holding images, and telling which instances do.
 *
 * A hold is called PREFIX ID/DIGEST PATH: the directory's id, the manifest, and the directory's absolute path with
 * everything unusual as %XX.
 */
#include "rootfs/instance_hold.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "base/text.h"
#include "rootfs/instance.h"
#include "store/holds.h"

enum { HOLD_NAME_MAX = 16 << 10 };

static void put_name(ims_buf *out, const ims_rootfs_dir *dir, const ims_digest *manifest) {
  ims_buf_printf(out, "%s%s/%s", IMS_HOLD_PREFIX, dir->id, manifest->text);
  for (const char *s = dir->path; *s; s++) {
    if (ims_is_alnum(*s) || strchr("/._-", *s))
      ims_buf_putc(out, *s);
    else
      ims_buf_printf(out, "%%%02x", (unsigned)(unsigned char)*s);
  }
}

static int32_t hold_name(ims_buf *out, const ims_rootfs_dir *dir, const ims_digest *manifest, ims_error *err) {
  ims_buf_init(out, &dir->core->alloc, HOLD_NAME_MAX);
  put_name(out, dir, manifest);
  return out->failed == IMGSTORE_ELIMIT ? ims_fail(err, IMGSTORE_ELIMIT, "rootfs directory: its path is too long")
         : out->failed                  ? ims_fail_nomem(err)
                                        : IMGSTORE_OK;
}

static int32_t describe(ims_rootfs_dir *dir, const ims_digest *manifest, ims_target *target, ims_error *err) {
  imgstore_manifest *m = NULL;
  memset(target, 0, sizeof *target);
  int32_t rc = ims_store_manifest_load(dir->store, manifest, NULL, &m, err);
  if (rc)
    return rc;
  target->digest = *manifest;
  target->size = m->size;
  size_t length = strlen(m->media_type);
  if (length < sizeof target->media_type)
    memcpy(target->media_type, m->media_type, length + 1);
  imgstore_manifest_unref(m);
  return IMGSTORE_OK;
}

/* Under the store's lock: the manifest is there and stays until it is held, or is not there any more. */
static int32_t put_hold(ims_rootfs_dir *dir, const char *name, const ims_digest *manifest, ims_error *err) {
  ims_target target;
  void *lock;
  int32_t rc = ims_store_lock(dir->store, 0, &lock, err);
  if (rc)
    return rc;
  rc = describe(dir, manifest, &target, err);
  if (!rc)
    rc = ims_hold_put(dir->store, name, &target, err);
  ims_store_unlock(dir->store, lock);
  return rc;
}

int32_t ims_hold_set(ims_rootfs_dir *dir, const ims_digest *manifest, ims_error *err) {
  ims_buf name;
  ims_target target;
  int32_t rc = hold_name(&name, dir, manifest, err);
  if (!rc)
    rc = ims_ref_get(dir->store, ims_buf_text(&name), &target, err);
  if (rc == IMGSTORE_ENOTFOUND)
    rc = put_hold(dir, ims_buf_text(&name), manifest, err);
  ims_buf_free(&name);
  return rc;
}

static void remove_hold(ims_rootfs_dir *dir, const ims_digest *manifest) {
  ims_buf name;
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = hold_name(&name, dir, manifest, &why);
  if (!rc)
    rc = ims_ref_remove(dir->store, ims_buf_text(&name), NULL, &why);
  if (rc && rc != IMGSTORE_ENOTFOUND)
    ims_log(dir->core, IMGSTORE_LOG_WARNING, "rootfs: image %s is still held: %s", manifest->text, why.message);
  ims_buf_free(&name);
}

/* --- while an instance is being made --------------------------------------------------------------------------------
 */

#define LEASE_LINE "image "

int32_t ims_hold_begin(ims_rootfs_dir *dir, ims_rootfs_lease *lease, const ims_digest *manifest, ims_error *err) {
  ims_buf line;
  int lock = -1;
  int32_t rc = ims_rootfs_lease_open(lease, dir, err);
  if (rc)
    return rc;
  ims_buf_init(&line, &dir->core->alloc, IMS_DIGEST_TEXT + sizeof LEASE_LINE);
  rc = ims_buf_printf(&line, LEASE_LINE "%s\n", manifest->text) ? ims_fail_nomem(err) : IMGSTORE_OK;
  if (!rc)
    rc = ims_rootfs_dir_lock(dir, IMS_ROOTFS_LOCK_INSTANCES, LOCK_SH, &lock, err);
  if (!rc)
    rc = ims_rootfs_lease_add(lease, &line, err);
  if (!rc)
    rc = ims_hold_set(dir, manifest, err);
  ims_dir_file_close(dir->core, &lock);
  ims_buf_free(&line);
  return rc;
}

void ims_hold_abandon(ims_rootfs_dir *dir, ims_rootfs_lease *lease, const ims_digest *manifest) {
  int lock;
  if (!lease->dir)
    return;
  ims_rootfs_lease_close(lease);
  if (ims_rootfs_dir_lock(dir, IMS_ROOTFS_LOCK_INSTANCES, LOCK_EX, &lock, NULL))
    return;
  ims_hold_release(dir, manifest);
  ims_dir_file_close(dir->core, &lock);
}

/* --- letting go ------------------------------------------------------------------------------------------------------
 */

typedef struct search {
  const ims_digest *manifest;
  bool found;
} search;

static int32_t same_image(void *data, const char *name, const ims_instance_record *record, const ims_error *why) {
  search *s = data;
  (void)name;
  /* One that cannot be read may stand on any image. */
  s->found = record ? ims_digest_equal(&record->manifest, s->manifest) : why->code != IMGSTORE_EFORMAT;
  return s->found;
}

static bool leases_image(const char *line, const ims_digest *manifest) {
  return ims_starts_with(line, LEASE_LINE) && strcmp(line + strlen(LEASE_LINE), manifest->text) == 0;
}

static int32_t same_lease(void *data, const char *line) {
  search *s = data;
  s->found = s->found || leases_image(line, s->manifest);
  return IMGSTORE_OK;
}

void ims_hold_release(ims_rootfs_dir *dir, const ims_digest *manifest) {
  search s = {manifest, false};
  int32_t rc = ims_instance_list(dir, same_image, &s, NULL);
  if (!rc && !s.found)
    rc = ims_rootfs_leases(dir, same_lease, &s, NULL);
  if (!rc && !s.found)
    remove_hold(dir, manifest);
}

/* --- clean-up ------------------------------------------------------------------------------------------------------
 */

typedef struct held {
  ims_digest manifest;
  char *name;
} held;

typedef struct cleaning {
  ims_rootfs_dir *dir;
  held *items;
  size_t count, capacity;
} cleaning;

/* Inside the store itself there is no other directory of that path: whatever was there is gone. Elsewhere it may be on
   a file system that is not mounted now. */
static bool is_of_predecessor(const ims_rootfs_dir *dir, const char *name, const ims_digest *manifest) {
  size_t skipped = strlen(IMS_HOLD_PREFIX) + strlen(dir->id);
  ims_buf own;
  if (!dir->in_store || strlen(name) <= skipped || hold_name(&own, dir, manifest, NULL))
    return false;
  bool same = strcmp(ims_buf_text(&own) + skipped, name + skipped) == 0;
  ims_buf_free(&own);
  return same;
}

static bool is_of_dir(const ims_rootfs_dir *dir, const char *name, const ims_digest *manifest) {
  size_t prefix = strlen(IMS_HOLD_PREFIX), id = strlen(dir->id);
  if (!ims_starts_with(name, IMS_HOLD_PREFIX))
    return false;
  return (strncmp(name + prefix, dir->id, id) == 0 && name[prefix + id] == '/') ||
         is_of_predecessor(dir, name, manifest);
}

static int32_t note_hold(void *data, const char *name, const ims_target *target) {
  cleaning *c = data;
  if (!is_of_dir(c->dir, name, &target->digest))
    return IMGSTORE_OK;
  if (c->count == c->capacity) {
    size_t capacity = c->capacity ? c->capacity * 2 : 16;
    held *items = ims_realloc_array(&c->dir->core->alloc, c->items, capacity, sizeof *items);
    if (!items)
      return IMGSTORE_ENOMEM;
    c->items = items;
    c->capacity = capacity;
  }
  held *h = &c->items[c->count];
  h->manifest = target->digest;
  h->name = ims_strdup(&c->dir->core->alloc, name);
  c->count += h->name != NULL;
  return h->name ? IMGSTORE_OK : IMGSTORE_ENOMEM;
}

typedef struct needing {
  const cleaning *c;
  bool *needed;
  size_t left;
} needing;

static int32_t note_need(void *data, const char *name, const ims_instance_record *record, const ims_error *why) {
  needing *n = data;
  (void)name;
  for (size_t i = 0; i < n->c->count; i++) {
    /* One that cannot be read may stand on any image. */
    bool stands =
        record ? ims_digest_equal(&record->manifest, &n->c->items[i].manifest) : why->code != IMGSTORE_EFORMAT;
    if (stands && !n->needed[i]) {
      n->needed[i] = true;
      n->left--;
    }
  }
  return n->left == 0;
}

static int32_t note_lease(void *data, const char *line) {
  needing *n = data;
  for (size_t i = 0; i < n->c->count; i++)
    n->needed[i] = n->needed[i] || leases_image(line, &n->c->items[i].manifest);
  return IMGSTORE_OK;
}

static void settle(const cleaning *c, const held *h, bool needed) {
  ims_buf name;
  if (hold_name(&name, c->dir, &h->manifest, NULL) == IMGSTORE_OK) {
    bool here = strcmp(ims_buf_text(&name), h->name) == 0;
    if (needed && !here && ims_hold_set(c->dir, &h->manifest, NULL))
      needed = here = true; /* rather the old one than none */
    if (!needed || !here)
      ims_ref_remove(c->dir->store, h->name, h->manifest.text, NULL);
  }
  ims_buf_free(&name);
}

void ims_holds_clean(ims_rootfs_dir *dir) {
  cleaning c = {.dir = dir};
  int lock = -1;
  if (dir->read_only || !*dir->id)
    return;
  int32_t rc = ims_ref_list(dir->store, note_hold, &c, NULL);
  bool *needed = ims_calloc(&dir->core->alloc, c.count + 1, sizeof *needed);
  if (!rc && c.count && needed && !ims_rootfs_dir_lock(dir, IMS_ROOTFS_LOCK_INSTANCES, LOCK_EX, &lock, NULL)) {
    needing n = {&c, needed, c.count};
    rc = ims_instance_list(dir, note_need, &n, NULL);
    if (rc >= 0)
      rc = ims_rootfs_leases(dir, note_lease, &n, NULL);
    for (size_t i = 0; i < c.count && rc >= 0; i++)
      settle(&c, &c.items[i], needed[i]);
    ims_dir_file_close(dir->core, &lock);
  }
  for (size_t i = 0; i < c.count; i++)
    ims_free(&dir->core->alloc, c.items[i].name);
  ims_free(&dir->core->alloc, c.items);
  ims_free(&dir->core->alloc, needed);
}

/* --- who holds ------------------------------------------------------------------------------------------------------
 */

static int hex_value(char c) {
  return ims_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path in a hold's name; false when there is none. */
static bool parse_path(const char *name, ims_buf *path) {
  const char *at = strstr(name, "sha");
  at = at ? strchr(at, '/') : NULL;
  for (; at && *at; at++) {
    int high = at[0] == '%' ? hex_value(at[1]) : -1, low = high < 0 ? -1 : hex_value(at[2]);
    ims_buf_putc(path, low < 0 ? *at : (char)(high << 4 | low));
    at += low < 0 ? 0 : 2;
  }
  return path->size && !path->failed;
}

/* The directory that holds, opened; -1 when it is not where it was. *unknown: or when that cannot be found out. */
static int open_holder(const ims_core *core, const char *name, const ims_buf *path, bool *unknown) {
  char id[IMS_ROOTFS_ID];
  size_t prefix = strlen(IMS_HOLD_PREFIX);
  int root = ims_dir_file_open_dir(core, AT_FDCWD, ims_buf_text(path));
  *unknown = root < 0 && errno != ENOENT && errno != ENOTDIR;
  if (root < 0)
    return -1;
  int32_t rc = ims_rootfs_dir_read_id(core, root, id);
  *unknown = rc && rc != IMGSTORE_ENOTFOUND;
  if (!rc && strncmp(name + prefix, id, strlen(id)) == 0 && name[prefix + strlen(id)] == '/')
    return root;
  ims_dir_file_close(core, &root);
  return -1;
}

bool ims_hold_is_lost(const ims_core *core, const char *name) {
  ims_buf path;
  bool unknown = true;
  ims_buf_init(&path, &core->alloc, HOLD_NAME_MAX);
  int root = parse_path(name, &path) ? open_holder(core, name, &path, &unknown) : -1;
  bool lost = root < 0 && !unknown;
  ims_dir_file_close(core, &root);
  ims_buf_free(&path);
  return lost;
}

typedef struct naming {
  const ims_digest *manifest;
  ims_buf *names;
  size_t count;
} naming;

enum { MOST_NAMED = 8 };

static int32_t name_one(void *data, const char *name, const ims_instance_record *record, const ims_error *why) {
  naming *n = data;
  (void)why;
  if (!record || !ims_digest_equal(&record->manifest, n->manifest))
    return IMGSTORE_OK;
  if (n->count < MOST_NAMED)
    ims_buf_printf(n->names, "%s%s", n->count ? ", " : "", name);
  n->count++;
  return IMGSTORE_OK;
}

/* Only the folder of instances is opened, to read names and records: no lock, no clean-up. */
void ims_hold_describe(const ims_core *core, const char *name, const ims_digest *manifest, ims_buf *out) {
  ims_buf path;
  naming n = {.manifest = manifest, .names = out};
  imgstore_rootfs_dir there;
  bool unknown = true;
  memset(&there, 0, sizeof there);
  ims_buf_init(&path, &core->alloc, HOLD_NAME_MAX);
  int root = parse_path(name, &path) ? open_holder(core, name, &path, &unknown) : -1;
  there.core = (ims_core *)(uintptr_t)core;
  there.folder[IMS_ROOTFS_INSTANCES] = root < 0 ? -1 : ims_dir_file_open_dir(core, root, "instances");
  if (there.folder[IMS_ROOTFS_INSTANCES] >= 0)
    ims_instance_list(&there, name_one, &n, NULL);
  if (n.count > MOST_NAMED)
    ims_buf_printf(out, " and %zu more", n.count - MOST_NAMED);
  if (!n.count)
    ims_buf_puts(out, "instances");
  ims_buf_printf(out, " in %s", ims_buf_text(&path));
  if (root < 0 && !unknown)
    ims_buf_puts(out, ", which is not there: mount its file system, or remove the image with what it is held by"
                      " (IMGSTORE_REMOVE_LOST_INSTANCES)");
  ims_dir_file_close(core, &there.folder[IMS_ROOTFS_INSTANCES]);
  ims_dir_file_close(core, &root);
  ims_buf_free(&path);
}
