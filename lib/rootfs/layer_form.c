/*
 * rootfs/layer_form.c (L3) - the form of layer directories: a letter for the attributes, and a hash of whatever else
 * differs from what a privileged process does by default.
 */
#include "rootfs/layer_form.h"

#include <stdio.h>
#include <string.h>

#include "oci/digest.h"
#include "rootfs/metadata.h"

enum { TEXT_MAX = 1 << 20, HASH_DIGITS = 16 };

static int32_t copy_map(ims_layer_form *f, const imgstore_id_map **map, size_t *count, ims_error *err) {
  const imgstore_id_map *given = *map;
  *map = NULL;
  if (!*count)
    return IMGSTORE_OK;
  imgstore_id_map *copy = ims_realloc_array(f->alloc, NULL, *count, sizeof *copy);
  if (!copy)
    return ims_fail_nomem(err);
  memcpy(copy, given, *count * sizeof *copy);
  *map = copy;
  return IMGSTORE_OK;
}

static void put_map(ims_buf *out, const char *name, const imgstore_id_map *map, size_t count) {
  if (!count)
    return;
  ims_buf_printf(out, " %s", name);
  for (size_t i = 0; i < count; i++)
    ims_buf_printf(out, "%c%u:%u:%u", i ? ',' : '=', map[i].inside, map[i].outside, map[i].count);
}

static const char *policy_name(int32_t policy) {
  return policy == IMGSTORE_POLICY_ERROR ? "error" : policy == IMGSTORE_POLICY_SKIP ? "skip" : "record";
}

static void put_policy(ims_buf *out, const char *name, int32_t policy) {
  if (policy != IMGSTORE_POLICY_ERROR)
    ims_buf_printf(out, " %s=%s", name, policy_name(policy));
}

static void describe(const ims_layer_form *f, ims_buf *out) {
  const imgstore_unpack_options *u = &f->unpack;
  put_policy(out, "owner", u->owner_policy);
  put_policy(out, "device", u->device_policy);
  put_policy(out, "xattr", u->xattr_policy);
  if (u->flags & IMGSTORE_UNPACK_STRICT_XATTRS)
    ims_buf_puts(out, " strict");
  put_map(out, "uid", u->uid_map, u->uid_map_count);
  put_map(out, "gid", u->gid_map, u->gid_map_count);
}

static int32_t name_form(ims_layer_form *f, ims_error *err) {
  ims_buf text;
  char letter = f->trusted ? 't' : 'u';
  ims_buf_init(&text, f->alloc, TEXT_MAX);
  describe(f, &text);
  if (text.failed)
    ims_fail(err, text.failed, "id maps are too long");
  else if (!text.size)
    snprintf(f->suffix, sizeof f->suffix, "-%c", letter);
  if (text.size && !text.failed) {
    ims_digest digest;
    ims_digest_of(&digest, IMS_HASH_SHA256, text.data, text.size);
    snprintf(f->suffix, sizeof f->suffix, "-%c-%.*s", letter, HASH_DIGITS, ims_digest_hex(&digest));
  }
  f->text = text.failed ? NULL : ims_strdup(f->alloc, ims_buf_text(&text) + (text.size > 0));
  int32_t failed = text.failed;
  ims_buf_free(&text);
  return failed ? failed : f->text ? IMGSTORE_OK : ims_fail_nomem(err);
}

int32_t ims_layer_form_init(ims_layer_form *f, const ims_rootfs_dir *dir, const imgstore_layers_options *options,
                            ims_error *err) {
  ims_privileges may;
  memset(f, 0, sizeof *f);
  f->alloc = &dir->core->alloc;
  f->unpack.size = sizeof f->unpack;
  if (options->unpack)
    f->unpack = *options->unpack;
  f->unpack.progress = NULL;
  f->unpack.flags &= IMGSTORE_UNPACK_STRICT_XATTRS;
  f->trusted = options->overlay_form == IMGSTORE_OVERLAY_DEFAULT ? dir->trusted
                                                                 : options->overlay_form == IMGSTORE_OVERLAY_TRUSTED;
  ims_privileges_get(dir->core->sys, &may);
  f->unpack.owner_policy = ims_policy_effective(f->unpack.owner_policy, may.owners);
  f->unpack.device_policy = ims_policy_effective(f->unpack.device_policy, may.devices);
  f->unpack.xattr_policy = ims_policy_effective(f->unpack.xattr_policy, may.xattrs);
  int32_t rc = copy_map(f, &f->unpack.uid_map, &f->unpack.uid_map_count, err);
  if (rc)
    f->unpack.gid_map = NULL;
  else
    rc = copy_map(f, &f->unpack.gid_map, &f->unpack.gid_map_count, err);
  if (!rc)
    rc = name_form(f, err);
  if (rc)
    ims_layer_form_free(f);
  return rc;
}

void ims_layer_form_free(ims_layer_form *f) {
  if (!f->alloc)
    return;
  ims_free(f->alloc, (void *)(uintptr_t)f->unpack.uid_map);
  ims_free(f->alloc, (void *)(uintptr_t)f->unpack.gid_map);
  ims_free(f->alloc, f->text);
  f->alloc = NULL;
}

const char *ims_layer_form_opaque(const ims_layer_form *f) {
  return f->trusted ? "trusted.overlay.opaque" : "user.overlay.opaque";
}
