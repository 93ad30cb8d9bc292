/*
 * api/layers_options.c (L5) - options for unpacking and applying layers.
 */
#include "api/layers_options.h"

#include "api/options.h"

static const imgstore_unpack_options unpack_defaults = {.size = sizeof(imgstore_unpack_options)};
static const imgstore_layers_options layers_defaults = {.size = sizeof(imgstore_layers_options)};

static int32_t check_policy(int32_t policy, const char *what, ims_error *err) {
  if (policy < IMGSTORE_POLICY_DEFAULT || policy > IMGSTORE_POLICY_RECORD)
    return ims_fail(err, IMGSTORE_EINVALID, "%s: %d is not one of IMGSTORE_POLICY_*", what, policy);
  return IMGSTORE_OK;
}

int32_t ims_unpack_options_copy(imgstore_unpack_options *own, const imgstore_unpack_options *given, ims_error *err) {
  *own = unpack_defaults;
  int32_t rc = ims_options_copy(own, sizeof *own, given, sizeof *own, "imgstore_unpack_options", err);
  if (!rc && (own->flags & ~(uint32_t)(IMGSTORE_UNPACK_STRICT_XATTRS | IMGSTORE_UNPACK_FLUSH)))
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_unpack_options: unknown flags %#x", own->flags);
  if (!rc)
    rc = check_policy(own->owner_policy, "owner_policy", err);
  if (!rc)
    rc = check_policy(own->device_policy, "device_policy", err);
  if (!rc)
    rc = check_policy(own->xattr_policy, "xattr_policy", err);
  if (!rc && ((own->uid_map_count && !own->uid_map) || (own->gid_map_count && !own->gid_map)))
    rc = ims_fail(err, IMGSTORE_EINVALID, "an id map is NULL but its count is not 0");
  return rc;
}

int32_t ims_layers_options_copy(imgstore_layers_options *own, imgstore_unpack_options *unpack,
                                const imgstore_layers_options *given, ims_error *err) {
  *own = layers_defaults;
  int32_t rc = ims_options_copy(own, sizeof *own, given, sizeof *own, "imgstore_layers_options", err);
  if (!rc && own->flags)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_layers_options: unknown flags %#x", own->flags);
  if (!rc && (own->overlay_form < IMGSTORE_OVERLAY_DEFAULT || own->overlay_form > IMGSTORE_OVERLAY_USER))
    rc = ims_fail(err, IMGSTORE_EINVALID, "overlay_form: %d is not one of IMGSTORE_OVERLAY_*", own->overlay_form);
  if (!rc)
    rc = ims_unpack_options_copy(unpack, own->unpack, err);
  own->unpack = unpack;
  return rc;
}
